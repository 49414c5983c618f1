import { bytesOf } from '@keyframe/contracts/streams';
import type { Store } from '@keyframe/contracts';
import { contentOf, createMemoryStore } from '@keyframe/testkit';
import { beforeEach, expect, test } from 'vitest';
import { backUp, compressible, keysOf, open, openArchive, SMALL, SYSTEM_IDENTIFIER } from '../../test/support.ts';
import type { EpochArchive } from '../cluster.ts';
import { encrypted, KEY } from '../encryption/encrypted.fixture.ts';

const IDENTITY = 'keyframe.json';
const EPOCH = 'clusters/main/epochs/1.json';
const TREE = new Map([['base/1', compressible(400_000)]]);

let store: Store;
let archive: EpochArchive;

beforeEach(async () => {
  store = createMemoryStore();
  archive = await fill(store, await openArchive(store, { tuning: SMALL }));
});

async function fill(into: Store, epoch: EpochArchive): Promise<EpochArchive> {
  const facts = { systemIdentifier: SYSTEM_IDENTIFIER, timeline: 1, segmentSizeBytes: 1 << 20 };
  await epoch.wal.put({ name: '000000010000000000000003', content: bytesOf(Buffer.alloc(1 << 20)), facts });
  await backUp(epoch, TREE);
  expect((await keysOf(into)).length).toBeGreaterThan(5);
  return epoch;
}

const remove = async (name: RegExp): Promise<void> =>
  store.delete((await keysOf(store)).filter((key) => name.test(key)));

async function bringBackAll(of: Store = store): Promise<void> {
  const { roots } = open(of);
  for (const root of await roots.find()) await roots.bringBack(root);
}

test('a whole repository has lost no root', async () => {
  expect(await open(store).roots.find()).toEqual([]);
});

test.each(['missing', 'damaged'])('a %s keyframe.json comes back with the same id', async (how) => {
  const before = await open(store).identity();
  if (how === 'missing') await store.delete([IDENTITY]);
  else await store.put(IDENTITY, bytesOf(Buffer.alloc(400, 7)));
  const found = await open(store).roots.find();
  expect(found).toMatchObject([{ key: IDENTITY, fault: how, assumed: [expect.any(String), expect.any(String)] }]);
  await bringBackAll();
  const { createdAt: _, ...after } = await open(store).identity();
  expect(before).toMatchObject(after);
  expect(await open(store).cluster('main').epochs()).toHaveLength(1);
  expect((await archive.backups.list()).length).toBe(1);
});

test.each(['missing', 'damaged'])('the %s record of an epoch comes back from its backups', async (how) => {
  const [before] = await open(store).cluster('main').epochs();
  if (how === 'missing') await store.delete([EPOCH]);
  else await store.put(EPOCH, bytesOf(Buffer.alloc(400, 7)));
  expect(await open(store).roots.find()).toMatchObject([{ key: EPOCH, fault: how }]);
  await bringBackAll();
  const [after] = await open(store).cluster('main').epochs();
  expect(after).toEqual({ ...before, createdAt: expect.any(String) });
});

test('it comes back from the copy of a manifest when records and manifests are gone as well', async () => {
  await remove(/\/(?:1|backup|keyframe)\.json$|\/manifest$/u);
  await bringBackAll();
  expect(await open(store).cluster('main').epochs()).toMatchObject([
    { number: 1, systemIdentifier: SYSTEM_IDENTIFIER, postgresVersion: 180_006 },
  ]);
});

test('of an epoch with WAL alone it is told what is known, and what writes it anew', async () => {
  await remove(/\/backups\/|epochs/u);
  const [lost] = await open(store).roots.find();
  expect(lost).toMatchObject({ key: EPOCH, content: undefined, detail: expect.stringContaining(SYSTEM_IDENTIFIER) });
  await expect(bringBackAll()).rejects.toMatchObject({ code: 'CORRUPT' });
});

test('an empty place is not made a repository', async () => {
  const empty = createMemoryStore();
  await expect(open(empty).roots.find()).rejects.toMatchObject({ code: 'REPOSITORY_MISSING' });
  expect(await keysOf(empty)).toEqual([]);
});

test('objects of two repositories are no repository, and of two servers no epoch', async () => {
  const other = createMemoryStore();
  await fill(other, await openArchive(other, { tuning: SMALL }));
  const wal = (await keysOf(other)).find((key) => key.includes('/wal/')) ?? '';
  const stranger = bytesOf((await contentOf(other, wal)) ?? Buffer.alloc(0));
  await store.put(wal.replace(/3$/u, '4'), stranger);
  await store.delete([IDENTITY]);
  await expect(open(store).roots.find()).rejects.toMatchObject({ code: 'CORRUPT' });
  expect(await keysOf(store)).not.toContain(IDENTITY);
});

test('an encrypted repository comes back as one, also without a key at hand', async () => {
  const vault = createMemoryStore();
  await fill(vault, await openArchive(vault, encrypted(KEY)));
  await vault.delete([IDENTITY, EPOCH]);
  await bringBackAll(vault);
  expect(await open(vault).identity()).toMatchObject({ encrypted: true });
  await bringBackAll(vault);
  expect(await open(vault, encrypted(KEY)).cluster('main').epochs()).toMatchObject([{ postgresVersion: 180_006 }]);
});

test('a mirror whose stores have all lost it says how it comes back', async () => {
  await store.delete([IDENTITY]);
  const both = { ...store, copies: { of: () => [store], distrust: () => undefined } };
  await expect(open(both).roots.find()).rejects.toMatchObject({
    code: 'REPOSITORY_MISSING',
    hint: expect.stringContaining('--store'),
  });
});
