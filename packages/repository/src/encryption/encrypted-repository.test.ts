import { hash } from 'node:crypto';
import { createMemoryStore } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import {
  backUp,
  digestOf,
  FACTS,
  INTENT,
  keysOf,
  open,
  openArchive,
  restoreTree,
  sampleTree,
  SMALL,
} from '../../test/support.ts';
import { sealJson } from '../format/sealed-json.ts';
import {
  bytesAt,
  bytesWith,
  encrypted,
  KEY,
  NEEDLE,
  overwrite,
  readWal,
  reopen,
  treeWithNeedles,
  uncompressed,
  walFile,
} from './encrypted.fixture.ts';
import { age, OFFICE, passphrase, SAFE } from './keys.fixture.ts';

test('a backup and WAL come back, in another process too, and nothing of them can be read in the store', async () => {
  const store = createMemoryStore();
  const more = { ...encrypted(KEY), compressor: uncompressed };
  const archive = await openArchive(store, more);
  const tree = treeWithNeedles();
  const record = await backUp(archive, tree);
  const wal = Buffer.alloc(1 << 20, `${NEEDLE} `);
  expect(await archive.wal.put(walFile(wal))).toBe('archived');
  expect(await bytesWith(store, NEEDLE.slice(0, 20))).toEqual([]);
  expect(await bytesWith(store, 'small-needle')).toEqual([]); // names of files neither
  expect(await bytesWith(store, hash('sha256', wal))).toEqual([]);
  const other = await reopen(store, more);
  expect(digestOf((await restoreTree(other, record)).tree)).toEqual(digestOf(tree));
  expect((await readWal(other)).equals(wal)).toBe(true);
});

test('the record of a backup, which is not encrypted, names no table that has damaged pages', async () => {
  const damagedPages = [{ path: 'base/5/16384', block: 3, relation: 'shop: customers' }];
  const facts = { ...FACTS, damagedPages, damagedPageCount: 1 };
  const [store, plain] = [createMemoryStore(), createMemoryStore()];
  const record = await backUp(await openArchive(store, encrypted(KEY)), sampleTree(), facts);
  expect(record.damagedPages).toEqual([{ path: 'base/5/16384', block: 3 }]);
  expect(await bytesWith(store, 'customers')).toEqual([]);
  expect((await backUp(await openArchive(plain), sampleTree(), facts)).damagedPages).toEqual(damagedPages);
});

test('without encryption the needle is found: the test above can fail', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, { compressor: uncompressed });
  await backUp(archive, treeWithNeedles());
  expect(await bytesWith(store, NEEDLE.slice(0, 20))).not.toEqual([]);
});

test('an identical second push is recognised, another content is not, in any generation', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, encrypted(KEY));
  const wal = Buffer.alloc(1 << 20, 'some WAL');
  await archive.wal.put(walFile(wal));
  expect(await archive.wal.put(walFile(wal))).toBe('already-archived');
  await open(store, encrypted(KEY)).keys.rotate();
  const later = await reopen(store, encrypted(KEY));
  expect(await later.wal.put(walFile(wal))).toBe('already-archived');
  await expect(later.wal.put(walFile(Buffer.alloc(1 << 20, 'other WAL')))).rejects.toMatchObject({
    code: 'WAL_MISMATCH',
  });
});

test('a rotation leaves everything readable, and uploads nothing but keys', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, encrypted(KEY, age([OFFICE.recipient], OFFICE.identity)));
  const tree = sampleTree();
  const record = await backUp(archive, tree);
  const wal = Buffer.alloc(1 << 20, 'WAL of the first generation');
  await archive.wal.put(walFile(wal));
  const before = new Set(await keysOf(store));
  await open(store, encrypted(KEY, age([OFFICE.recipient], OFFICE.identity))).keys.rotate();
  const added = (await keysOf(store)).filter((key) => !before.has(key));
  expect(added).toEqual(['keys/2/age-1', 'keys/2/generation.json', 'keys/2/passphrase-1']);
  const later = await reopen(store, encrypted(age([OFFICE.recipient], OFFICE.identity)));
  const second = Buffer.alloc(1 << 20, 'WAL of the second generation');
  await later.wal.put(walFile(second, '000000010000000000000004'));
  const newer = await backUp(later, tree);
  for (const key of [KEY, age([OFFICE.recipient], OFFICE.identity)]) {
    const reader = await reopen(store, encrypted(key));
    expect((await readWal(reader)).equals(wal)).toBe(true);
    expect((await readWal(reader, '000000010000000000000004')).equals(second)).toBe(true);
    for (const each of [record, newer])
      expect(digestOf((await restoreTree(reader, each)).tree)).toEqual(digestOf(tree));
  }
  expect((await later.wal.header('000000010000000000000004'))?.generation).toBe(2);
});

test('a configuration without keys, or with the wrong ones, writes nothing and says why', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY));
  const before = await keysOf(store);
  const plain = await reopen(store, { tuning: SMALL });
  await expect(plain.backups.begin(INTENT)).rejects.toMatchObject({ code: 'KEY_REQUIRED' });
  await expect(plain.wal.put(walFile(Buffer.alloc(1 << 20)))).rejects.toMatchObject({ code: 'KEY_REQUIRED' });
  const wrong = await reopen(store, encrypted(passphrase('incorrect horse battery')));
  await expect(wrong.backups.begin(INTENT)).rejects.toMatchObject({ code: 'KEY_WRONG' });
  const other = await reopen(store, encrypted(age([SAFE.recipient], SAFE.identity)));
  await expect(other.wal.put(walFile(Buffer.alloc(1 << 20)))).rejects.toMatchObject({ code: 'KEY_WRONG' });
  expect(await keysOf(store)).toEqual(before);
});

test('a plain repository is not written to as if it were encrypted; from `key add` on everything is, and the old stays readable', async () => {
  const store = createMemoryStore();
  const tree = sampleTree();
  const first = await backUp(await openArchive(store, { tuning: SMALL }), tree);
  const wal = Buffer.alloc(1 << 20, 'plain WAL');
  await (await reopen(store, {})).wal.put(walFile(wal));
  const later = await reopen(store, encrypted(KEY));
  await expect(later.backups.begin(INTENT)).rejects.toMatchObject({ code: 'NOT_ENCRYPTED' });
  expect(await open(store, encrypted(KEY)).keys.add()).toMatchObject([{ slot: 'passphrase', generation: 1 }]);
  const archive = await reopen(store, encrypted(KEY));
  const second = await backUp(archive, tree);
  for (const record of [first, second])
    expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(tree));
  expect((await readWal(archive)).equals(wal)).toBe(true);
  expect(await archive.wal.put(walFile(wal))).toBe('already-archived');
  await expect((await reopen(store, {})).backups.begin(INTENT)).rejects.toMatchObject({ code: 'KEY_REQUIRED' });
});

test('two writers of one label never share a data key, a salt or an ephemeral key', async () => {
  const shared = createMemoryStore();
  await openArchive(shared, encrypted(KEY));
  const headers: string[] = [];
  // Two processes on two copies of the repository, so that both may write the very same label.
  for (let writer = 0; writer < 2; writer += 1) {
    const store = createMemoryStore();
    for (const key of await keysOf(shared)) await overwrite(store, key, await bytesAt(shared, key));
    const own = await reopen(store, encrypted(KEY));
    const record = await backUp(own, sampleTree());
    await own.wal.put(walFile(Buffer.alloc(1 << 20, 'same')));
    expect(record.label).toBe('20261120T030000Z-full');
    for (const key of await keysOf(store, 'clusters/main/1/')) {
      if (key.endsWith('backup.json') || key.endsWith('intent')) continue;
      const bytes = await bytesAt(store, key);
      const header = bytes.toString('latin1', 16, 16 + bytes.readUInt32LE(8));
      headers.push(...(header.match(/"(?:key|salt)":"[^"]+"/gu) ?? []));
    }
  }
  expect(headers.length).toBeGreaterThan(12);
  // The ephemeral key is the first half of `key`.
  const parts = headers.flatMap((each) => [each, each.slice(0, 45)]);
  expect(new Set(parts).size).toBe(parts.length);
});

test('objects, frames and manifests that were swapped, cut or reordered are CORRUPT', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, encrypted(KEY));
  const tree = sampleTree();
  const record = await backUp(archive, tree);
  const [one = '', other = ''] = await keysOf(store, `clusters/main/1/backups/${record.label}/pack-`);
  const bytes = await bytesAt(store, one);
  await overwrite(store, one, await bytesAt(store, other));
  await expect(restoreTree(await reopen(store, encrypted(KEY)), record)).rejects.toMatchObject({ code: 'CORRUPT' });
  await overwrite(store, one, bytes.subarray(0, bytes.length - 1));
  await expect(open(store, encrypted(KEY)).check(one)).rejects.toMatchObject({ code: 'CORRUPT' });
  await overwrite(store, one, bytes);
  expect(digestOf((await restoreTree(await reopen(store, encrypted(KEY)), record)).tree)).toEqual(digestOf(tree));
});

test('WAL that was moved to another name, or written by who has no index key, is CORRUPT', async () => {
  const [store, forged] = [createMemoryStore(), createMemoryStore()];
  await (await openArchive(store, encrypted(KEY))).wal.put(walFile(Buffer.alloc(1 << 20, 'WAL')));
  const [key = ''] = (await keysOf(store, 'clusters/main/1/wal/')).slice(-1);
  await overwrite(store, `${key.slice(0, -1)}4`, await bytesAt(store, key));
  await expect(readWal(await reopen(store, encrypted(KEY)), '000000010000000000000004')).rejects.toMatchObject({
    code: 'CORRUPT',
  });
  // Of another repository of the same passphrase, made to look like one of this.
  await (await openArchive(forged, encrypted(KEY))).wal.put(walFile(Buffer.alloc(1 << 20, 'forged')));
  const ids = [store, forged].map(async (each) => (await open(each, encrypted(KEY)).identity()).id);
  const [id = '', forgedId = ''] = await Promise.all(ids);
  const head = (await bytesAt(forged, key)).toString('latin1').replace(forgedId, id);
  await overwrite(store, key, Buffer.from(head, 'latin1'));
  await expect(readWal(await reopen(store, encrypted(KEY)))).rejects.toMatchObject({ code: 'CORRUPT' });
});

test('WAL without encryption is not believed in a repository that was encrypted from its beginning', async () => {
  const [store, forged] = [createMemoryStore(), createMemoryStore()];
  await openArchive(store, encrypted(KEY));
  await overwrite(forged, 'keyframe.json', await bytesAt(store, 'keyframe.json').then(withoutMark));
  await (await openArchive(forged)).wal.put(walFile(Buffer.alloc(1 << 20, 'forged')));
  const [key = ''] = (await keysOf(forged, 'clusters/main/1/wal/')).slice(-1);
  await overwrite(store, key, await bytesAt(forged, key));
  await expect(readWal(await reopen(store, encrypted(KEY)))).rejects.toMatchObject({ code: 'CORRUPT' });
});

/** The identity of the same repository, had it been made without encryption. */
function withoutMark(bytes: Buffer): Buffer {
  const { sha256: _, format: __, encrypted: ___, ...rest } = JSON.parse(bytes.toString()) as Record<string, never>;
  return sealJson(rest);
}
