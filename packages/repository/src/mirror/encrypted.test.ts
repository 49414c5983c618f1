import type { Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { createMemoryStore, failing, faulty } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import { backUp, digestOf, keysOf, open, openArchive, restoreTree, sampleTree } from '../../test/support.ts';
import { age, OFFICE } from '../encryption/keys.fixture.ts';
import { bytesAt, encrypted, KEY, readWal, reopen, SEGMENT, walFile } from '../encryption/encrypted.fixture.ts';
import { copyRepository } from './copy-repository.ts';
import type { MirroredStore } from './mirrored-store.ts';
import { type TestMirror, testMirror } from './mirrored-store.fixture.ts';
import { walIdentity } from './wal-identity.ts';

const how = encrypted(KEY);
const WAL = Buffer.alloc(1 << 20, 'some WAL');
const WAL_KEY = `clusters/main/1/wal/00000001/00000000/${SEGMENT}`;

/** Three empty stores, and mirrored ones of them that prove what is encrypted. */
async function emptyMirror(): Promise<{ readonly mirror: TestMirror; readonly openStore: () => MirroredStore }> {
  const mirror = await testMirror();
  for (const store of Object.values(mirror.plain)) await store.delete(['keyframe.json']);
  const openStore = (): MirroredStore =>
    mirror.open({
      check: (store, key, options) => open(store, how).check(key, options),
      identify: (store, key, options) => walIdentity(open(store, how), key, options ?? {}),
    });
  return { mirror, openStore };
}

const plainOf = ({ plain }: TestMirror): Store[] => Object.values(plain);

test('every store gets the same bytes, and each of them restores alone', async () => {
  const { mirror, openStore } = await emptyMirror();
  const store = openStore();
  const archive = await openArchive(store, how);
  const tree = sampleTree();
  const record = await backUp(archive, tree);
  await archive.wal.put(walFile(WAL));
  expect(await store.sync()).toMatchObject({ copied: 0, conflicts: [], faults: [] });
  const [first = store, ...others] = plainOf(mirror);
  for (const key of await keysOf(first))
    for (const other of others)
      expect([key, (await bytesAt(other, key)).equals(await bytesAt(first, key))]).toEqual([key, true]);
  for (const each of plainOf(mirror)) {
    const alone = await reopen(each, how);
    expect(digestOf((await restoreTree(alone, record)).tree)).toEqual(digestOf(tree));
    expect((await readWal(alone)).equals(WAL)).toBe(true);
  }
});

test('a segment that a crash left on one store is archived by the next push, though that encrypts anew', async () => {
  const { mirror, openStore } = await emptyMirror();
  await openArchive(openStore(), how);
  const { a = createMemoryStore(), b = createMemoryStore(), c = createMemoryStore() } = mirror.plain;
  for (const [name, store] of Object.entries({ b, c }))
    mirror.stores[name] = faulty(store, failing('put', { key: /wal/ }));
  await expect((await reopen(openStore(), how)).wal.put(walFile(WAL))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  mirror.stores['b'] = b;
  expect(await (await reopen(openStore(), how)).wal.put(walFile(WAL))).toBe('already-archived');
  expect((await bytesAt(b, WAL_KEY)).equals(await bytesAt(a, WAL_KEY))).toBe(true);
});

test('two encodings of one segment are no conflict, other content is', async () => {
  const { mirror, openStore } = await emptyMirror();
  const archive = await openArchive(openStore(), how);
  await archive.wal.put(walFile(WAL));
  const { c = createMemoryStore() } = mirror.plain;
  const archived = await bytesAt(c, WAL_KEY);
  await c.delete([WAL_KEY]);
  await (await reopen(c, how)).wal.put(walFile(WAL));
  expect((await bytesAt(c, WAL_KEY)).equals(archived)).toBe(false);
  expect(await openStore().sync({ verify: true })).toMatchObject({ conflicts: [], repaired: 0, faults: [] });
  await c.delete([WAL_KEY]);
  await (await reopen(c, how)).wal.put(walFile(Buffer.alloc(1 << 20, 'WAL of another server')));
  expect(await openStore().sync({ verify: true })).toMatchObject({ conflicts: [WAL_KEY], repaired: 0 });
});

test('damaged packs, manifests and WAL of the nearest store are read around, and mended', async () => {
  const { mirror, openStore } = await emptyMirror();
  const archive = await openArchive(openStore(), how);
  const tree = sampleTree();
  const record = await backUp(archive, tree);
  await archive.wal.put(walFile(WAL));
  const { a = createMemoryStore() } = mirror.plain;
  const damagedKeys = (await keysOf(a)).filter((key) => /pack-|manifest|\/wal\//u.test(key));
  for (const key of damagedKeys) {
    const bytes = Buffer.from(await bytesAt(a, key));
    for (let at = 1_000; at < bytes.length; at += 5_000) bytes[at] = (bytes[at] ?? 0) ^ 1;
    await a.put(key, bytesOf(bytes));
  }
  const store = openStore();
  const reader = await reopen(store, how);
  expect(digestOf((await restoreTree(reader, record)).tree)).toEqual(digestOf(tree));
  expect((await readWal(reader)).equals(WAL)).toBe(true);
  expect(await store.sync({ verify: true })).toMatchObject({ conflicts: [], faults: [] });
  const alone = await reopen(a, how);
  expect(digestOf((await restoreTree(alone, record)).tree)).toEqual(digestOf(tree));
  expect((await readWal(alone)).equals(WAL)).toBe(true);
  expect(damagedKeys.length).toBeGreaterThan(3);
});

test('a copy is given a key of its own, and the old one taken from it; the source stays as it is', async () => {
  const [source, target] = [createMemoryStore(), createMemoryStore()];
  const archive = await openArchive(source, how);
  const tree = sampleTree();
  const record = await backUp(archive, tree);
  await archive.wal.put(walFile(WAL));
  const check = (store: Store, key: string): Promise<void> => open(store, how).check(key);
  expect(await copyRepository({ from: source, to: target, check }, {})).toMatchObject({ repaired: 0 });
  const own = age([OFFICE.recipient], OFFICE.identity);
  await open(target, encrypted(KEY, own)).keys.add();
  await open(target, encrypted(own)).keys.remove('passphrase');
  const copied = await reopen(target, encrypted(own));
  expect(digestOf((await restoreTree(copied, record)).tree)).toEqual(digestOf(tree));
  expect((await readWal(copied)).equals(WAL)).toBe(true);
  await expect(reopen(target, how).then(readWal)).rejects.toMatchObject({ code: 'KEY_WRONG' });
  expect((await readWal(await reopen(source, how))).equals(WAL)).toBe(true);
  await archive.wal.put(walFile(WAL, '000000010000000000000004'));
  expect(await copyRepository({ from: source, to: target, check }, {})).toMatchObject({ copied: 1, repaired: 0 });
});
