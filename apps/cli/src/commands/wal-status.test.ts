import type { ArchiverStatus } from '@keyframe/engine';
import { expect, test } from 'vitest';
import { exposureOf } from './wal-status.ts';

const NOW = new Date('2026-11-24T16:10:00Z');
const AWAY: ArchiverStatus = { reachable: false, reason: 'no' };
const moment = {
  timeline: 1,
  backup: '20261124T150000Z-full',
  lsn: '0/4000000',
  commitTime: '2026-11-24 16:07:57.400000+00',
  stoppedBy: undefined,
};
const at = (currentLsn: string): ArchiverStatus => ({
  reachable: true,
  currentLsn,
  lastArchived: undefined,
  lastArchivedAt: undefined,
  lastArchivedAgeSeconds: undefined,
  failing: false,
  lastFailed: undefined,
  lastFailedAt: undefined,
  waiting: 0,
  backlog: undefined,
  walSpace: undefined,
});

test.each([
  ['the age of the last commit counts', moment, AWAY, 123, true],
  ['nothing is lost while the server wrote no more', moment, at('0/4000000'), 0, false],
  ['what it wrote since may be lost', moment, at('0/4000028'), 123, true],
  ['a gap counts though the server wrote no more', { ...moment, stoppedBy: 'x' }, at('0/4000000'), 123, true],
  ['without a commit nothing is promised', { ...moment, commitTime: undefined }, AWAY, undefined, true],
  ['nor without a backup', undefined, at('0/4000000'), undefined, true],
] as const)('%s', (_, recoverable, server, age, isTooOld) => {
  expect(exposureOf(recoverable, server, NOW, 60_000)).toEqual({
    recoverableAgeSeconds: age,
    rpoSeconds: 60,
    isTooOld,
  });
  expect(exposureOf(recoverable, server, NOW, undefined).isTooOld).toBe(false);
});
