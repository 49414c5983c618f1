import { hasCode, segmentName, type Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { openRepository, type Repository, type RepositoryContext } from '@keyframe/repository';
import { contentOf, createMemoryStore, failing, faulty } from '@keyframe/testkit';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { openMemory, type VerifyMemory } from './memory.ts';
import { SEGMENT_BYTES, SYSTEM, takeFull, wholeSegment } from './verify.fixture.ts';
import type { VerifyRequest } from './request.ts';
import { verify } from './verify.ts';

const DAY_MS = 86_400_000;
const COPY = {
  id: 'copy',
  compress: async (frame: Uint8Array) => frame,
  decompress: async (frame: Uint8Array) => frame,
};

let directory: string;
let nowMs: number;
const now = (): Date => new Date(nowMs);

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kf-verify-'));
  nowMs = Date.parse('2026-11-24T10:00:00Z');
});
afterEach(() => rm(directory, { recursive: true }));

const openOn = (store: Store, more: Partial<RepositoryContext> = {}): Repository =>
  openRepository({ store, compressor: COPY, compressors: [], now, tuning: { packBytes: 200_000 }, ...more });

/** A repository with one backup, and its packs. */
async function made(
  store: Store = createMemoryStore({ now }),
): Promise<{ store: Store; label: string; packs: string[] }> {
  const repository = openOn(store);
  await repository.init();
  const archive = await repository.cluster('main').create({ systemIdentifier: SYSTEM, postgresVersion: 180_006 });
  const facts = { systemIdentifier: SYSTEM, timeline: 1, segmentSizeBytes: SEGMENT_BYTES };
  await archive.wal.put({ name: segmentName(1, 3n, SEGMENT_BYTES), content: bytesOf(wholeSegment()), facts });
  const { label } = await takeFull(archive);
  return { store, label, packs: await keysOf(store, /\/pack-\d+$/u) };
}

async function keysOf(store: Store, name: RegExp): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list('')) if (name.test(key)) keys.push(key);
  return keys.toSorted();
}

async function run(store: Store, request: VerifyRequest = {}, more: { memory?: VerifyMemory; isAlone?: boolean } = {}) {
  const memory = more.memory ?? (await openMemory(join(directory, 'memory.jsonl')));
  const history = openOn(store).cluster('main');
  return verify({ history, memory, now, isAlone: more.isAlone }, request);
}

const known = async (store: Store) => [...(await (await openOn(store).cluster('main').damage()).read()).values()];

/** Turns a bit in the middle of an object, in place; gives what turns it back. */
async function rot(store: Store, key: string): Promise<() => Promise<unknown>> {
  const bytes = (await contentOf(store, key)) ?? Buffer.alloc(0);
  const changed = Buffer.from(bytes);
  const at = bytes.length >> 1;
  changed.writeUInt8(changed.readUInt8(at) ^ 4, at);
  await store.put(key, bytesOf(changed));
  return () => store.put(key, bytesOf(bytes));
}

/** The WAL here is no WAL when it is read record by record. */
const objectsOf = ({ findings }: Awaited<ReturnType<typeof run>>): string[] =>
  findings.map(({ object }) => object).filter((object) => !object.includes('/wal/'));

it('refuses a label of which there is no backup, in an empty repository as well', async () => {
  const { store, label } = await made();
  expect((await run(store, { labels: [label] })).backups).toBe(1);
  await expect(run(store, { labels: [label, '20200101T000000Z-full'] })).rejects.toMatchObject({
    code: 'BACKUP_NOT_FOUND',
  });
  const empty = createMemoryStore();
  await openOn(empty).init();
  await expect(run(empty, { labels: ['latest'] })).rejects.toMatchObject({ code: 'BACKUP_NOT_FOUND' });
});

it('notes a damaged pack in the repository, goes on finding it, and takes it off when it is right again', async () => {
  const { store, label, packs } = await made();
  const [pack = ''] = packs;
  const mend = await rot(store, pack);
  expect((await run(store)).findings).toEqual([]);
  expect(await known(store)).toEqual([]);
  const deep = await run(store, { deep: true });
  expect(objectsOf(deep)).toEqual([pack]);
  const entry = {
    label,
    number: 1,
    fault: 'damaged',
    level: 'content',
    backups: [label],
    foundAt: now().toISOString(),
  };
  expect(await known(store)).toMatchObject([entry]);
  // Known damage is looked at whatever the run asks for, and on a host that remembers nothing as well.
  nowMs += DAY_MS;
  const memory = await openMemory(join(directory, 'another.jsonl'));
  expect(objectsOf(await run(store, {}, { memory }))).toEqual([pack]);
  expect(objectsOf(await run(store, { sample: 0.000001, seed: 1 }))).toEqual([pack]);
  expect(await known(store)).toMatchObject([entry]);
  await mend();
  expect((await run(store)).findings).toEqual([]);
  expect(await known(store)).toEqual([]);
});

it('does not remember as right what it found damaged later', async () => {
  const { store, packs } = await made();
  const [pack = ''] = packs;
  expect(objectsOf(await run(store, { deep: true }))).toEqual([]);
  nowMs += DAY_MS;
  await rot(store, pack);
  expect(objectsOf(await run(store, { deep: true, since: now() }))).toEqual([pack]);
  // The note is lost, and the end of the pack is as it was.
  await store.delete(await keysOf(store, /\/damage\//u));
  expect(objectsOf(await run(store, { deep: true }))).toEqual([pack]);
});

it('notes a missing pack, and forgets it when no backup needs it any more', async () => {
  const { store, label, packs } = await made();
  const [pack = ''] = packs;
  await store.delete([pack]);
  await run(store);
  expect(await known(store)).toMatchObject([{ label, number: 1, fault: 'missing', level: 'outline' }]);
  await store.delete(await keysOf(store, new RegExp(`${label}/`, 'u')));
  await run(store);
  expect(await known(store)).toEqual([]);
});

it('keeps what it did not look at', async () => {
  const { store, packs } = await made();
  const [pack = ''] = packs;
  await store.delete([pack]);
  await run(store);
  nowMs += DAY_MS;
  const { label } = await takeFull(await openOn(store).cluster('main').at(1));
  await run(store, { labels: [label] });
  await run(store, { walOnly: true });
  expect(await known(store)).toHaveLength(1);
});

it('notes nothing where one store of several is looked at alone, or nothing may be written', async () => {
  const { store, packs } = await made();
  await store.delete(packs.slice(0, 1));
  await run(store, {}, { isAlone: true });
  expect(await known(store)).toEqual([]);
  const sealed = faulty(store, failing('put', { key: /damage/ }));
  const { findings, remarks } = await run(sealed);
  expect(findings.map(({ object }) => object)).toEqual(packs.slice(0, 1));
  expect(remarks.some(({ message }) => message.includes('could not be noted'))).toBe(true);
  await run(store, { dryRun: true });
  expect(await known(store)).toEqual([]);
});

it('does not note what another copy has whole', async () => {
  const { store, packs } = await made();
  const [pack = ''] = packs;
  const bad = createMemoryStore({ now });
  for (const key of await keysOf(store, /./u))
    await bad.put(key, bytesOf((await contentOf(store, key)) ?? Buffer.alloc(0)));
  await rot(bad, pack);
  const both = { ...store, get: bad.get.bind(bad), copies: { of: () => [bad, store], distrust: () => undefined } };
  expect(objectsOf(await run(both, { deep: true }))).toEqual([pack]);
  expect(await known(store)).toEqual([]);
  await store.delete([pack]);
  await run(both, { deep: true });
  expect(await known(store)).toHaveLength(1);
});

it('reads objects again that were put on another disk, and no others', async () => {
  const { store } = await made();
  await run(store);
  expect((await run(store)).coverage).toMatchObject({ checked: 0 });
  nowMs += DAY_MS;
  const fresh = createMemoryStore({ now });
  const keys = await keysOf(store, /./u);
  for (const key of keys) await fresh.put(key, bytesOf((await contentOf(store, key)) ?? Buffer.alloc(0)));
  expect((await run(fresh)).coverage).toMatchObject({ remembered: 0 });
  expect((await run(fresh)).coverage).toMatchObject({ checked: 0 });
});

it('says since when objects are only remembered, once that is long ago', async () => {
  const { store } = await made();
  await run(store, { deep: true });
  const readAt = now().toISOString();
  nowMs += 89 * DAY_MS;
  const soon = await run(store, { deep: true });
  expect(soon.coverage.oldestReadAt).toBe(readAt);
  expect(soon.remarks.some(({ message }) => message.includes(readAt))).toBe(false);
  nowMs += 2 * DAY_MS;
  expect((await run(store, { deep: true })).remarks.some(({ message }) => message.includes(readAt))).toBe(true);
});

it('an error of the store is none of the repository', async () => {
  const { store } = await made();
  const broken = faulty(store, failing('get', { key: /pack-/ }));
  await expect(run(broken)).rejects.toSatisfy((error) => hasCode(error, 'UNAVAILABLE'));
});
