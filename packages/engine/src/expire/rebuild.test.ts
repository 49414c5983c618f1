import { bytesOf } from '@keyframe/contracts/streams';
import { contentOf } from '@keyframe/testkit';
import { expect, it } from 'vitest';
import { DAY_MS, HOUR_MS, World } from './expiry-model.fixture.ts';
import { rebuild } from './rebuild.ts';

const POLICY = { count: 1, graceMs: HOUR_MS, wal: 'window' } as const;
const PREFIX = 'clusters/main/1/';

const labels = async (world: World): Promise<string[]> => (await world.epoch.backups.list()).map(({ label }) => label);

async function keys({ store }: World, name: RegExp): Promise<string[]> {
  const found: string[] = [];
  for await (const { key } of store.list('')) if (name.test(key)) found.push(key);
  return found.toSorted();
}

/** A full backup that an expiry removed, of whose packs a younger increment needs some, the last one among them. */
async function removedFull(): Promise<{
  world: World;
  full: string;
  increment: string;
  /** Of the full one. */
  record: Buffer | undefined;
}> {
  const world = await World.create(POLICY);
  world.advance(DAY_MS);
  await world.push(1);
  await world.backup('incremental');
  const [full = '', increment = ''] = world.backups.map(({ record }) => record.label);
  const record = await contentOf(world.store, `${PREFIX}backups/${full}/backup.json`);
  await world.expire();
  world.advance(DAY_MS);
  expect((await world.expire()).removed.backups.map(({ label }) => label)).toEqual([full]);
  expect((await keys(world, new RegExp(`${full}/pack-`, 'u'))).length).toBeGreaterThan(0);
  return { world, full, increment, record };
}

it('a lost record is found, and comes back when it is told to', async () => {
  const world = await World.create(POLICY);
  world.advance(DAY_MS);
  await world.backup('full');
  const [label = ''] = await labels(world);
  await world.store.delete([`${PREFIX}backups/${label}/backup.json`]);
  expect(await rebuild(world.context(), { apply: false })).toMatchObject({ backups: [{ label, outcome: 'found' }] });
  expect(await rebuild(world.context(), { apply: true })).toMatchObject({
    backups: [{ label, outcome: 'brought-back' }],
  });
  expect(await rebuild(world.context(), { apply: true })).toEqual({ roots: [], backups: [], notes: [] });
  expect(await labels(world)).toContain(label);
});

it('a backup that an expiry removed is left out although its packs live on', async () => {
  const { world, full, increment } = await removedFull();
  expect((await rebuild(world.context(), { apply: true })).backups).toMatchObject([
    { label: full, verdict: 'removed', outcome: 'left-out' },
  ]);
  expect(await labels(world)).toEqual([increment]);
});

it('a later expiry finds nothing to do for a backup that is remembered as removed', async () => {
  const { world } = await removedFull();
  const before = await keys(world, /tombstones/u);
  await world.expire();
  expect(await keys(world, /tombstones/u)).toEqual(before);
});

it('leaves it out by older tombstones, too, when the newest is damaged, and tells that', async () => {
  const { world, full } = await removedFull();
  const newest = (await keys(world, /tombstones/u)).at(-1) ?? '';
  await world.store.put(newest, bytesOf(Buffer.from('x')));
  const { backups, notes } = await rebuild(world.context(), { apply: true });
  expect(backups).toMatchObject([{ label: full, outcome: 'left-out' }]);
  expect(notes).toHaveLength(1);
});

it.each(['its own', 'any'])('%s record that comes back is not counted, and removed once more', async (whose) => {
  const { world, full, increment, record } = await removedFull();
  const bytes = (whose === 'its own' ? record : undefined) ?? Buffer.alloc(300, 7);
  await world.store.put(`${PREFIX}backups/${full}/backup.json`, bytesOf(bytes));
  expect(await labels(world)).toEqual([increment]);
  await world.expire();
  expect(await keys(world, /backup\.json/u)).toEqual([`${PREFIX}backups/${increment}/backup.json`]);
});

it('what was removed is forgotten half a year after nothing of it is left', async () => {
  const { world, full } = await removedFull();
  await world.store.delete(await keys(world, new RegExp(`${full}/`, 'u')));
  const remembered = async (): Promise<boolean> => {
    const { tombstones } = await world.context().history.retention();
    return (await tombstones.read()).state.backups.some(({ label }) => label === full);
  };
  await world.expire();
  expect(await remembered()).toBe(true);
  world.advance(181 * DAY_MS);
  await world.backup('full');
  await world.expire();
  expect(await remembered()).toBe(false);
});

it('an epoch without its record is brought back from its backups, then they are looked at', async () => {
  const { world, increment } = await removedFull();
  const key = 'clusters/main/epochs/1.json';
  const before = JSON.parse((await contentOf(world.store, key))?.toString() ?? '{}');
  await world.store.delete([key]);
  expect(await rebuild(world.context(), { apply: false })).toMatchObject({
    roots: [{ key, lost: 'missing', outcome: 'found' }],
    backups: [],
  });
  expect(await rebuild(world.context(), { apply: true })).toMatchObject({
    roots: [{ key, outcome: 'brought-back' }],
    backups: [{ outcome: 'left-out' }],
  });
  const { systemIdentifier, postgresVersion, number } = JSON.parse(
    (await contentOf(world.store, key))?.toString() ?? '',
  );
  expect({ systemIdentifier, postgresVersion, number }).toEqual({
    systemIdentifier: before.systemIdentifier,
    postgresVersion: before.postgresVersion,
    number: before.number,
  });
  expect(await labels(world)).toEqual([increment]);
});

it('in one store of several it brings back roots alone', async () => {
  const { world, increment } = await removedFull();
  const [epoch, record] = ['clusters/main/epochs/1.json', `${PREFIX}backups/${increment}/backup.json`];
  const manifest = `${PREFIX}backups/${increment}/manifest`;
  await world.store.delete([epoch, manifest]);
  const rebuilt = await rebuild(world.context(), { apply: true, rootsOnly: true });
  expect(rebuilt).toMatchObject({ roots: [{ key: epoch, outcome: 'brought-back' }], backups: [] });
  expect(await keys(world, /manifest$|backup\.json$/u)).toEqual([record]);
});
