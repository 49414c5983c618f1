import { contentOf, createMemoryStore } from '@keyframe/testkit';
import { beforeEach, expect, test } from 'vitest';
import {
  backUp,
  compressible,
  digestOf,
  FACTS,
  INTENT,
  keysOf,
  openArchive,
  open,
  restoreTree,
  SMALL,
  sampleTree,
  SYSTEM_IDENTIFIER,
  type Tree,
  writeTree,
} from '../../test/support.ts';
import { bytesOf } from '@keyframe/contracts/streams';
import type { EpochArchive } from '../cluster.ts';
import { encrypted, KEY } from '../encryption/encrypted.fixture.ts';
import { newSigningKey } from '../signing/keys.ts';
import type { Retention } from './retention.ts';

const OTHER: Tree = new Map([['base/1', compressible(1_300_000)]]);
const SEGMENT = 16 << 20;

let store = createMemoryStore();
let archive: EpochArchive;
let retention: Retention;
let nowMs = 0;
const now = (): Date => new Date(nowMs);

beforeEach(async () => {
  nowMs = Date.parse('2026-11-20T03:00:00Z');
  store = createMemoryStore({ now });
  archive = await openArchive(store, { tuning: SMALL, now });
  retention = await open(store, { tuning: SMALL, now }).cluster('main').retention();
  const facts = { systemIdentifier: SYSTEM_IDENTIFIER, timeline: 1, segmentSizeBytes: SEGMENT };
  await archive.wal.put({ name: '000000010000000000000003', content: bytesOf(Buffer.alloc(SEGMENT)), facts });
});

const named = async (name: RegExp): Promise<string[]> => (await keysOf(store)).filter((key) => name.test(key));

async function expire(label: string, phase: 'marked' | 'fenced'): Promise<void> {
  const entry = { epoch: 1, label, kind: 'backup', packs: [], since: 1, reason: '' } as const;
  await retention.tombstones.follow(0, { backups: [{ ...entry, phase, markedAt: now().toISOString() }], wal: [] });
}

async function bringBackAll(): Promise<void> {
  for (const lost of await retention.rebuild.find()) await retention.rebuild.bringBack(lost);
}

test('a whole repository has nothing to rebuild', async () => {
  await backUp(archive, sampleTree());
  expect(await retention.rebuild.find()).toEqual([]);
});

test('when all manifests and records are gone, every backup comes back as it was', async () => {
  const trees = [sampleTree(), OTHER];
  const records = [];
  for (const tree of trees) {
    nowMs += 3_600_000;
    records.push(await backUp(archive, tree, { ...FACTS, stoppedAt: now().toISOString() }));
  }
  const before = await keysOf(store);
  await store.delete(await named(/\/(?:manifest|backup\.json)$/u));
  expect(await archive.backups.list()).toEqual([]);
  const lost = await retention.rebuild.find();
  expect(lost.map(({ label, verdict }) => ({ label, verdict }))).toEqual(
    records.map(({ label }) => ({ label, verdict: 'can-return' })),
  );
  await bringBackAll();
  expect(await keysOf(store)).toEqual(before);
  expect(await archive.backups.list()).toEqual(records);
  for (const [index, record] of records.entries())
    expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(trees[index] ?? OTHER));
  expect(await retention.rebuild.find()).toEqual([]);
});

test.each([
  ['its manifest is gone', /\/manifest$/u, ['manifest']],
  ['its record is gone', /\/backup\.json$/u, ['record']],
  ['only packs are left', /\/(?:manifest|backup\.json|intent)$/u, ['manifest', 'record']],
])('a backup comes back when %s', async (_, pattern, lost) => {
  const record = await backUp(archive, OTHER);
  await store.delete(await named(pattern));
  expect(await retention.rebuild.find()).toMatchObject([{ label: record.label, lost, verdict: 'can-return' }]);
  await bringBackAll();
  expect(await archive.backups.list()).toEqual([record]);
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(OTHER));
});

test.each(['manifest', 'backup.json'])('a damaged %s is replaced by what the copy says', async (name) => {
  const record = await backUp(archive, OTHER);
  const [key = ''] = await named(new RegExp(`/${name}$`, 'u'));
  await store.put(key, bytesOf(Buffer.alloc(500, 7)));
  expect(await retention.rebuild.find()).toMatchObject([{ verdict: 'can-return' }]);
  await bringBackAll();
  expect(await archive.backups.list()).toEqual([record]);
  await open(store).check(key);
});

test('a backup without all of its packs does not come back, and says how many are gone', async () => {
  await backUp(archive, sampleTree());
  await store.delete([...(await named(/backup\.json$/u)), ...(await named(/pack-00001$/u))]);
  const found = await retention.rebuild.find();
  expect(found).toMatchObject([{ verdict: 'packs-missing', detail: expect.stringContaining('1 of its packs') }]);
  await expect(bringBackAll()).rejects.toMatchObject({ code: 'CORRUPT' });
  expect(await archive.backups.list()).toEqual([]);
});

test('a backup whose own WAL is not whole would never get consistent: it does not come back', async () => {
  await backUp(archive, OTHER);
  await store.delete([...(await named(/backup\.json$/u)), ...(await named(/\/wal\//u))]);
  expect(await retention.rebuild.find()).toMatchObject([{ verdict: 'wal-missing' }]);
});

test('a damaged record without any manifest is told as lost', async () => {
  await backUp(archive, OTHER);
  const [key = ''] = await named(/backup\.json$/u);
  await store.put(key, bytesOf(Buffer.alloc(500, 7)));
  await store.delete(await named(/\/(?:manifest|pack-\d+)$/u));
  expect(await retention.rebuild.find()).toMatchObject([{ verdict: 'no-copy', lost: ['record'] }]);
});

test('what was interrupted before its manifest, and what is expired, is no loss', async () => {
  const writer = await archive.backups.begin(INTENT);
  await writeTree(writer, OTHER);
  nowMs += 60_000;
  const { label } = await backUp(archive, OTHER);
  await store.delete(await named(new RegExp(`${label}/backup\\.json$`, 'u')));
  expect((await retention.rebuild.find()).map((each) => each.label)).toEqual([label]);
  await expire(label, 'marked');
  expect(await retention.rebuild.find()).toMatchObject([{ label, lost: ['record'], verdict: 'expired' }]);
});

test('what an expiry removed stays away when all manifests and all but an older tombstone are gone', async () => {
  const removed = await backUp(archive, OTHER);
  nowMs += 60_000;
  const kept = await backUp(archive, OTHER);
  await expire(removed.label, 'fenced');
  await retention.tombstones.follow(1, { backups: [], wal: [] });
  await store.delete(await named(/\/(?:manifest|backup\.json|intent)$/u));
  const found = await retention.rebuild.find();
  expect(found.map(({ label, verdict }) => ({ label, verdict }))).toEqual([
    { label: removed.label, verdict: 'removed' },
    { label: kept.label, verdict: 'can-return' },
  ]);
  const [gone, lost] = found;
  if (gone === undefined || lost === undefined) throw new Error('two were found');
  await expect(retention.rebuild.bringBack(gone)).rejects.toMatchObject({ code: 'CORRUPT' });
  await retention.rebuild.bringBack(lost);
  expect(await archive.backups.list()).toEqual([kept]);
});

test('where no tombstone is left, the signed chain tells what an expiry removed', async () => {
  const { pem } = newSigningKey();
  const signed = { tuning: SMALL, now, signing: { key: () => pem, trusted: [] } };
  const vault = createMemoryStore({ now });
  const own = await openArchive(vault, signed);
  await open(vault, signed).signers.announce();
  const facts = { systemIdentifier: SYSTEM_IDENTIFIER, timeline: 1, segmentSizeBytes: SEGMENT };
  await own.wal.put({ name: '000000010000000000000003', content: bytesOf(Buffer.alloc(SEGMENT)), facts });
  const { label } = await backUp(own, OTHER);
  await own.chain.checkpoint();
  await own.chain.expire({ backups: [label], wal: [] });
  await vault.delete((await keysOf(vault)).filter((key) => /\/(?:manifest|backup\.json|intent)$/u.test(key)));
  const { rebuild } = await open(vault, signed).cluster('main').retention();
  expect(await rebuild.find()).toMatchObject([{ label, verdict: 'removed' }]);
});

test('a copy of the mirror that is damaged does not keep a backup away', async () => {
  const record = await backUp(archive, OTHER);
  const { key } = record.manifest.copy;
  const bytes = await contentOf(store, key);
  await store.delete(await named(/\/(?:manifest|backup\.json)$/u));
  const bad = createMemoryStore({ now });
  for (const each of await keysOf(store))
    await bad.put(each, bytesOf((await contentOf(store, each)) ?? Buffer.alloc(0)));
  await bad.put(key, bytesOf(Buffer.alloc(bytes?.length ?? 0, 7)));
  const distrusted: string[] = [];
  const copies = { of: () => [bad, store], distrust: (each: string) => void distrusted.push(each) };
  // Reads meet the bad copy first; what is written goes to the good one.
  const both = { ...store, get: bad.get.bind(bad), copies };
  const { rebuild } = await open(both, { tuning: SMALL, now }).cluster('main').retention();
  const [lost] = await rebuild.find();
  expect(lost).toMatchObject({ verdict: 'can-return' });
  if (lost !== undefined) await rebuild.bringBack(lost);
  expect(await archive.backups.list()).toEqual([record]);
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(OTHER));
  expect(new Set(distrusted)).toEqual(new Set([key]));
});

test('an encrypted backup comes back as well, from its encrypted copy', async () => {
  const more = { ...encrypted(KEY), now };
  const vault = createMemoryStore({ now });
  const own = await openArchive(vault, more);
  const facts = { systemIdentifier: SYSTEM_IDENTIFIER, timeline: 1, segmentSizeBytes: SEGMENT };
  await own.wal.put({ name: '000000010000000000000003', content: bytesOf(Buffer.alloc(SEGMENT)), facts });
  const record = await backUp(own, OTHER);
  const lost = (await keysOf(vault)).filter((key) => /\/(?:manifest|backup\.json)$/u.test(key));
  await vault.delete(lost);
  const { rebuild } = await open(vault, more).cluster('main').retention();
  for (const each of await rebuild.find()) await rebuild.bringBack(each);
  expect(await own.backups.list()).toEqual([record]);
  expect(digestOf((await restoreTree(own, record)).tree)).toEqual(digestOf(OTHER));
});
