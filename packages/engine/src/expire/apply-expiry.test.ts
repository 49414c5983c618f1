import { expect, it } from 'vitest';
import { assertTruths } from './expiry-truths.fixture.ts';
import { DAY_MS, HOUR_MS, World } from './expiry-model.fixture.ts';
import { undelete } from './undelete.ts';

const DAY = { graceMs: DAY_MS, wal: 'window' } as const;

async function labels(world: World): Promise<string[]> {
  return (await world.epoch.backups.list()).map(({ label }) => label);
}

it('marks first, hides, and removes after the grace period', async () => {
  const world = await World.create({ ...DAY, count: 2 });
  for (let each = 0; each < 3; each += 1) {
    world.advance(HOUR_MS);
    await world.push(3);
    await world.backup('full');
  }
  const all = world.backups.map(({ record }) => record.label);
  const first = await world.expire();
  expect(first.removed).toMatchObject({ backups: [], packs: 0, segments: 0 });
  expect(first.waiting.map(({ label }) => label)).toEqual(all.slice(0, 2));
  expect(await labels(world)).toEqual(all.slice(2));
  await assertTruths(world);
  const before = world.keys.size;

  world.advance(23 * HOUR_MS);
  expect((await world.expire()).removed.backups).toEqual([]);
  world.advance(HOUR_MS);
  const last = await world.expire();
  expect(last.removed.backups.map(({ label }) => label)).toEqual(all.slice(0, 2));
  await assertTruths(world);
  expect(world.keys.size).toBeLessThan(before);
  for (const label of all.slice(0, 2)) expect([...world.keys].filter((key) => key.includes(label))).toEqual([]);
  // WAL that only those needed was marked with them.
  expect(last.removed.segments).toBeGreaterThan(0);
  expect(world.hasWal(1, 1, 1)).toBe(false);
});

it('brings an expired backup back, with the moments after it, and leaves it alone while the hold lasts', async () => {
  const world = await World.create({ ...DAY, count: 1 });
  await world.push(3);
  world.advance(3 * DAY_MS);
  await world.backup('full');
  const [old = ''] = world.backups.map(({ record }) => record.label);
  await world.expire();
  expect(await labels(world)).not.toContain(old);
  const until = new Date(world.nowMs + 7 * DAY_MS).toISOString();
  await undelete(world.context(), { label: old, until });
  expect(await labels(world)).toContain(old);
  world.advance(2 * DAY_MS);
  await world.expire();
  world.advance(2 * DAY_MS);
  expect((await world.expire()).removed.segments).toBe(0);
  expect(await labels(world)).toContain(old);
  await assertTruths(world);
  world.advance(7 * DAY_MS);
  await world.expire();
  world.advance(DAY_MS);
  expect((await world.expire()).removed.backups.map(({ label }) => label)).toEqual([old]);
  await expect(undelete(world.context(), { label: old, until })).rejects.toMatchObject({ code: 'BACKUP_NOT_FOUND' });
});
