import { failing, faulty, readOnly } from '@keyframe/testkit';
import { expect, it } from 'vitest';
import type { EngineEvent } from '../events.ts';
import { announceRestore } from '../recovery/announce-restore.ts';
import { expiredBackups } from './expired-backups.ts';
import { DAY_MS, HOUR_MS, World } from './expiry-model.fixture.ts';
import { addHold, listHolds, removeHold } from './holds.ts';

const POLICY = { count: 1, graceMs: HOUR_MS, wal: 'window' } as const;
const HOLDER = { host: 'h', bootId: 'b', pid: 2, processStart: '1', command: 'keyframe restore' };

/** Two backups, of which the policy wants the second. */
async function twoBackups(): Promise<{ world: World; old: string; young: string }> {
  const world = await World.create(POLICY);
  world.advance(DAY_MS);
  await world.backup('full');
  const [old = '', young = ''] = world.backups.map(({ record }) => record.label);
  return { world, old, young };
}

it('a held backup stays until the hold is removed, and the hold is listed meanwhile', async () => {
  const { world, old } = await twoBackups();
  const hold = await addHold(world.context(), { label: old, wal: false, reason: 'audit' });
  expect((await world.expire()).plan.kept.map(({ label }) => label)).toContain(old);
  expect(await listHolds(world.context())).toEqual([{ ...hold, active: true }]);
  await removeHold(world.context(), hold.id);
  expect(await listHolds(world.context())).toEqual([]);
  expect((await world.expire()).waiting.map(({ label }) => label)).toEqual([old]);
  expect(await expiredBackups(world.context().history)).toMatchObject([{ label: old }]);
});

it('numbers of holds are never used again', async () => {
  const { world, old } = await twoBackups();
  const request = { label: old, wal: false, reason: '' };
  const first = await addHold(world.context(), request);
  await removeHold(world.context(), first.id);
  expect((await addHold(world.context(), request)).id).toBe(first.id + 1);
  await expect(removeHold(world.context(), first.id)).rejects.toMatchObject({ code: 'NOT_FOUND' });
});

it('what is expired, absent, over already or ends before it begins is not held', async () => {
  const { world, old, young } = await twoBackups();
  await world.expire();
  const add = (request: Partial<Parameters<typeof addHold>[1]>): Promise<unknown> =>
    addHold(world.context(), { wal: false, reason: '', ...request });
  await expect(add({ label: old })).rejects.toMatchObject({ code: 'BACKUP_NOT_FOUND' });
  await expect(add({ label: 'none' })).rejects.toMatchObject({ code: 'BACKUP_NOT_FOUND' });
  await expect(add({ label: young, until: '2020-01-01T00:00:00Z' })).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  const range = { from: '2026-02-02T00:00:00Z', to: '2026-02-01T00:00:00Z' };
  await expect(add(range)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  expect(await listHolds(world.context())).toEqual([]);
});

it('a backup that a restore reads stays for a day, and no longer when the restore failed', async () => {
  const { world, old } = await twoBackups();
  const archive = world.epoch;
  const plan = { archive, backup: await archive.backups.get(old) };
  const context = { repository: world.repository, holder: HOLDER };
  await expect(announceRestore(context, plan, async () => Promise.reject(new Error('no space')))).rejects.toThrow(
    'no space',
  );
  expect((await announceRestore(context, plan, () => world.expire())).plan.kept[0]).toMatchObject({
    label: old,
    reasons: ['it is being restored'],
  });
  world.advance(23 * HOUR_MS);
  expect((await world.expire()).waiting).toEqual([]);
  world.advance(2 * HOUR_MS);
  expect((await world.expire()).waiting).toMatchObject([{ label: old }]);
  await expect(announceRestore(context, plan, async () => 'read')).rejects.toMatchObject({ code: 'BACKUP_NOT_FOUND' });
});

it('a repository that cannot be written is restored from all the same, with a warning', async () => {
  const { world, old } = await twoBackups();
  const { repository } = world.context(faulty(world.store, readOnly()));
  const told: EngineEvent[] = [];
  const plan = { archive: world.epoch, backup: await world.epoch.backups.get(old) };
  const options = { onEvent: (event: EngineEvent) => told.push(event) };
  expect(await announceRestore({ repository, holder: HOLDER }, plan, async () => 'read', options)).toBe('read');
  expect(told.map(({ kind }) => kind)).toEqual(['warning']);
});

it('damaged tombstones let nothing be removed, and list nothing as expired', async () => {
  const { world } = await twoBackups();
  await world.expire();
  await world.store.put('clusters/main/tombstones/0000000001', {
    sizeBytes: 1,
    open: async function* () {
      yield Buffer.from('x');
    },
  });
  expect(await expiredBackups(world.context().history)).toEqual([]);
  world.advance(DAY_MS);
  await expect(world.expire()).rejects.toMatchObject({ code: 'CORRUPT' });
});

it('a repository that cannot be listed stops the expiry', async () => {
  const { world } = await twoBackups();
  const broken = faulty(world.store, failing('list', { key: /backups/ }));
  await expect(world.expire(broken)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
});
