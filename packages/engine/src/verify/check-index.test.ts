import { type Compressor, lsn, type Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { type EpochArchive, openRepository } from '@keyframe/repository';
import { contentOf, createMemoryStore } from '@keyframe/testkit';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { archiveSegment, fullSegments, SIZE, START, SYSTEM } from '../lens/archived-segments.fixture.ts';
import { indexWal } from '../lens/index-wal.ts';
import { openMemory } from './memory.ts';
import type { VerifyReport } from './report.ts';
import { verify } from './verify.ts';

const COPY: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };
const now = (): Date => new Date();

let directory: string;
let store: Store;
let archive: EpochArchive;

const openOn = (on: Store) => openRepository({ store: on, compressor: COPY, compressors: [], now });

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kf-verify-'));
  store = createMemoryStore();
  const repository = openOn(store);
  await repository.init();
  archive = await repository.cluster('main').create({ systemIdentifier: SYSTEM, postgresVersion: 170_000 });
  for (const segment of fullSegments(5).segments) await archiveSegment(archive, segment);
  for (const end of [2n, 4n]) await indexWal(archive, { to: lsn(START + end * BigInt(SIZE)) });
});
afterEach(() => rm(directory, { recursive: true }));

async function run(deep = false): Promise<VerifyReport> {
  const memory = await openMemory(join(directory, 'memory.jsonl'));
  return verify({ history: openOn(store).cluster('main'), memory, now }, { deep, walOnly: true });
}

const findings = async (deep?: boolean) =>
  (await run(deep)).findings.map(({ kind, object, what, hint }) => [kind, object.split('/').at(-1), what, hint]);

async function keys(): Promise<string[]> {
  return (await archive.index.list()).map(({ key }) => key);
}

const HINT = expect.stringContaining('keyframe wal index --anew');

it('finds nothing wrong with an index, however closely it looks, and says what is not indexed', async () => {
  for (const deep of [false, true, true]) {
    const report = await run(deep);
    expect(report.findings).toEqual([]);
    expect(report.epochs[0]).toMatchObject({ segments: 5, indexedSegments: 4 });
  }
  // The second time all of it is remembered.
  expect((await run(true)).coverage).toMatchObject({ checked: 0, remembered: 7 });
});

it('names an object of which a byte is wrong: in its outline at once, anywhere with deep', async () => {
  const [first = '', second = ''] = await keys();
  for (const [key, at] of [[first, 20] as const, [second, -400] as const]) {
    const bytes = Buffer.from((await contentOf(store, key)) ?? Buffer.alloc(0));
    const place = at < 0 ? bytes.length + at : at;
    bytes.writeUInt8(bytes.readUInt8(place) ^ 8, place);
    await store.put(key, bytesOf(bytes));
  }
  const names = [first, second].map((key) => key.split('/').at(-1));
  expect(await findings()).toEqual([['damaged', names[0], 'its header fails its hash', HINT]]);
  expect(await findings(true)).toEqual(
    names.map((name) => ['damaged', name, expect.stringContaining('fails its hash'), HINT]),
  );
  await indexWal(archive);
});

it('names one that was put in the place of another, or comes from elsewhere', async () => {
  const [first = '', second = ''] = await keys();
  await store.put(second, bytesOf((await contentOf(store, first)) ?? Buffer.alloc(0)));
  expect(await findings()).toEqual([
    ['damaged', second.split('/').at(-1), expect.stringContaining('it belongs elsewhere'), HINT],
  ]);
});

it('names one that is whole, and tells what the WAL does not: with deep alone', async () => {
  const [, second = ''] = await keys();
  const ref = (await archive.index.list()).find(({ key }) => key === second);
  const opened = ref && (await archive.index.open(ref));
  const segments = await Array.fromAsync(opened?.details() ?? []);
  const [transaction] = segments[0]?.transactions ?? [];
  const table = transaction?.tables[0] ?? segments[0]?.folded[0]?.tables[0];
  if (opened === undefined || ref === undefined || table === undefined) throw new Error('no index');
  Object.assign(table, { deleted: 10_000 });
  await archive.index.remove([ref]);
  const { timeline, segmentSizeBytes } = opened;
  const [blocks, state] = [await opened.blocks(), await opened.state()];
  await archive.index.add({ timeline, segmentSizeBytes, segments, blocks, state });
  expect(await findings()).toEqual([]);
  expect(await findings(true)).toEqual([
    [
      'replaced',
      second.split('/').at(-1),
      expect.stringMatching(/^it tells of WAL segment \S+ what is not in it: /u),
      HINT,
    ],
  ]);
});

it('takes what was indexed with less before it for right, and tells of an index without WAL as of no fault', async () => {
  const [first] = await archive.index.list();
  if (first === undefined) throw new Error('no index');
  await archive.index.remove([first]);
  expect(await findings(true)).toEqual([]);
  await archive.index.remove(await archive.index.list());
  // The later ones before the earlier ones.
  await indexWal(archive, { from: lsn(START + BigInt(3 * SIZE)) });
  await indexWal(archive);
  await rm(join(directory, 'memory.jsonl'));
  expect(await findings(true)).toEqual([]);
  for await (const { key } of store.list('clusters/main/1/wal/')) await store.delete([key]);
  const report = await run();
  expect(report.findings).toEqual([]);
  expect(report.remarks).toContainEqual({
    message: expect.stringContaining('tell of WAL that is not archived'),
    hint: expect.stringContaining('keyframe expire'),
  });
});

it('names WAL that another cluster wrote, though it was archived as this one', async () => {
  store = createMemoryStore();
  const repository = openOn(store);
  await repository.init();
  archive = await repository.cluster('main').create({ systemIdentifier: '7', postgresVersion: 170_000 });
  for (const segment of fullSegments(1).segments) await archiveSegment(archive, segment, '7');
  expect(await findings()).toEqual([]);
  const what = `its WAL is of the cluster with the system identifier ${SYSTEM}, not 7`;
  expect(await findings(true)).toEqual([['damaged', expect.any(String), what, expect.any(String)]]);
});
