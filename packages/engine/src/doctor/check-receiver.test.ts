import { lsn } from '@keyframe/contracts';
import type { ServerFacts, SlotFact } from '@keyframe/postgres';
import { expect, test } from 'vitest';
import { checkReceiver } from './check-receiver.ts';
import { healthy as HEALTHY } from './healthy-server.fixture.ts';

const SLOT: SlotFact = {
  name: 'keyframe_main',
  physical: true,
  active: true,
  restartLsn: lsn(1n),
  walStatus: 'reserved',
};

function judged(slot: Partial<SlotFact>, cap = '1024'): string[] {
  const value = { value: cap, unit: 'MB', source: 'configuration file', pendingRestart: false };
  const settings: ServerFacts['settings'] = new Map([...HEALTHY.settings, ['max_slot_wal_keep_size', value]]);
  return checkReceiver({ ...HEALTHY, settings, slots: [{ ...SLOT, ...slot }] }).map(({ status }) => status);
}

test('a slot that nobody uses, that nothing limits or that is lost is told; no slot is nothing', () => {
  expect(judged({})).toEqual(['ok']);
  expect(judged({}, '-1')).toEqual(['warn']);
  expect(judged({ active: false })).toEqual(['warn']);
  expect(judged({ walStatus: 'lost', active: false })).toEqual(['fail']);
  expect(judged({ name: 'standby' })).toEqual([]);
  expect(checkReceiver({ ...HEALTHY, slots: undefined })).toEqual([]);
});
