import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasCode, parseLsn } from '@keyframe/contracts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { assertForked } from './assert-forked.ts';

let data = '';
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'keyframe-fork-'));
  await mkdir(join(data, 'pg_wal'));
  // Of an older recovery, restored from the archive.
  await writeFile(join(data, 'pg_wal/00000002.history'), '1\t0/2000000\told\n');
});
afterEach(() => rm(data, { recursive: true }));

const promoted = (end: string) =>
  writeFile(join(data, 'pg_wal/00000003.history'), `1\t0/2000000\told\n\n2\t${end}\tno recovery target specified\n`);
const held = (kind: 'latest' | 'immediate') =>
  assertForked(data, { timeline: 2, stop: { kind }, moment: { stopsAt: parseLsn('0/5000000') } }).then(
    () => true,
    (error: unknown) => (hasCode(error, 'RECOVERY_FAILED') ? false : error),
  );

describe('where the new timeline begins', () => {
  it.each([
    ['0/5000000', true, true],
    ['0/4FFFFF8', false, false],
    ['0/5000008', false, true],
  ])('at %s, planned at 0/5000000', async (end, target, latest) => {
    await promoted(end);
    expect([await held('immediate'), await held('latest')]).toEqual([target, latest]);
  });

  it('nowhere: the history of an older recovery proves nothing', async () => {
    expect([await held('immediate'), await held('latest')]).toEqual([false, false]);
  });
});
