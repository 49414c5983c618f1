import { type Compressor, lsn, segmentName, type Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { type EpochArchive, openRepository, type WalIndexRef } from '@keyframe/repository';
import { contentOf, createMemoryStore, faulty, readOnly } from '@keyframe/testkit';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { EngineEvent } from '../events.ts';
import { type HistoryRange, readHistory } from '../log/history-range.ts';
import { archiveSegment, fullSegments, SIZE, START, SYSTEM, TIME } from './archived-segments.fixture.ts';
import { expireIndex } from './expire-index.ts';
import { indexWal } from './index-wal.ts';
import { type ReadIndexOptions, readIndex } from './read-index.ts';

const HISTORY = { timeline: 1, ancestors: [] };
const copying: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };

let archive: EpochArchive;
let kept: Store;
const now = (): Date => new Date();

beforeEach(async () => {
  kept = createMemoryStore();
  const repository = openRepository({ store: kept, compressor: copying, compressors: [], now });
  await repository.init();
  archive = await repository.cluster('main').create({ systemIdentifier: SYSTEM, postgresVersion: 170_000 });
});

async function archiveSegments(count: number): Promise<number> {
  const { segments, transactions } = fullSegments(count);
  for (const segment of segments) await archiveSegment(archive, segment);
  return transactions;
}

async function xidsOf(options: Partial<ReadIndexOptions> = {}): Promise<number[]> {
  const xids: number[] = [];
  for await (const { index } of readIndex(archive, { history: HISTORY, segmentSizeBytes: SIZE, ...options }))
    for (const { xid, tables } of index?.transactions ?? []) if (tables[0]?.inserted === 1) xids.push(xid);
  return xids;
}

describe('the index of archived WAL', () => {
  it('is the same whether it was made at once or segment by segment, and tells of each transaction once', async () => {
    const count = await archiveSegments(6);
    for (let end = 1n; end <= 6n; end += 1n) await indexWal(archive, { to: lsn(0x40_00_00_00n + end * BigInt(SIZE)) });
    expect(await archive.index.list()).toHaveLength(6);
    const pieces = await xidsOf();
    expect(pieces.length).toBeGreaterThan(count - 3);
    expect(pieces).toEqual(pieces.map((_, index) => 700 + index));
    expect(await indexWal(archive)).toEqual({ segments: 0, objects: 0, storedBytes: 0, faults: [] });
    await archive.index.remove(await archive.index.list());
    expect(await indexWal(archive)).toMatchObject({ segments: 6, objects: 1 });
    expect(await xidsOf()).toEqual(pieces);
  });

  it('is in several objects where segments tell much', async () => {
    const count = await archiveSegments(3);
    expect(await indexWal(archive, { mostTransactions: 1 })).toMatchObject({ segments: 3, objects: 3 });
    const xids = await xidsOf();
    expect(xids.length).toBeGreaterThan(count - 3);
    expect(xids).toEqual(xids.map((_, index) => 700 + index));
  });

  it('goes on behind a kill with what was stored', async () => {
    await archiveSegments(3);
    const stop = new AbortController();
    const onProgress = ({ segments }: { segments: number }): void => {
      if (segments === 2) stop.abort(new Error('killed'));
    };
    await expect(indexWal(archive, { signal: stop.signal, onProgress })).rejects.toThrow('killed');
    expect(await indexWal(archive)).toMatchObject({ segments: 3, objects: 1 });
  });

  it('puts the objects of a whole group together, and expiry removes those it took the place of', async () => {
    await archiveSegments(64);
    for (const end of [20n, 50n, 64n]) await indexWal(archive, { to: lsn(0x40_00_00_00n + end * BigInt(SIZE)) });
    const refs = await archive.index.list();
    expect(refs.map(({ startLsn, endLsn }) => Number(endLsn - startLsn) / SIZE)).toEqual([64, 20, 30, 14]);
    const xids = await xidsOf();
    expect(xids).toEqual(xids.map((_, index) => 700 + index));
    expect(await expireIndex(archive)).toBe(3);
    expect(await archive.index.list()).toHaveLength(1);
    expect(await xidsOf()).toEqual(xids);
    const late = await xidsOf({ wants: ({ times }) => (times?.last ?? 0n) > TIME + 1000n });
    expect(late.length).toBeLessThan(xids.length);
    expect(late).toEqual(xids.slice(-late.length));
  }, 30_000);

  it('says which segment is damaged, and tells of what is behind it', async () => {
    const { segments } = fullSegments(4);
    for (const [index, segment] of segments.entries()) {
      if (index === 1) segment.bytes.fill(0x55, 300_000, 300_010);
      await archiveSegment(archive, segment);
    }
    const broken = segmentName(1, START / BigInt(SIZE) + 1n, SIZE);
    const report = await indexWal(archive);
    expect(report.faults.map(({ name }) => name)).toEqual([broken]);
    const told: boolean[] = [];
    for await (const { summary } of readIndex(archive, { history: HISTORY, segmentSizeBytes: SIZE }))
      told.push(summary.fault === undefined);
    expect(told).toEqual([true, false, true, true]);
  });

  it('expires with its WAL', async () => {
    await archiveSegments(2);
    await indexWal(archive);
    const inventory = await archive.wal.inventory();
    const empty = {
      ...archive.wal,
      inventory: async () => ({ ...inventory, segmentSizeBytes: SIZE, ranges: () => [] }),
    };
    expect(await expireIndex({ index: archive.index, wal: empty })).toBe(1);
    expect(await archive.index.list()).toEqual([]);
  });
});

describe('a damaged object of the index', () => {
  const range = async (): Promise<HistoryRange> => ({
    archive,
    history: HISTORY,
    inventory: await archive.wal.inventory({ segmentSizeBytes: SIZE }),
  });

  /** Behind the state are the entries of four frames, and the footer. */
  const IN_STATE = -(4 * 48 + 160 + 8);

  /** Turns a bit in each of these objects: in the middle, or so far from the end. */
  async function rot(refs: readonly WalIndexRef[], place?: number): Promise<void> {
    for (const { key } of refs) {
      const bytes = Buffer.from((await contentOf(kept, key)) ?? Buffer.alloc(0));
      const at = place === undefined ? bytes.length >> 1 : bytes.length + place;
      bytes.writeUInt8(bytes.readUInt8(at) ^ 4, at);
      await kept.put(key, bytesOf(bytes));
    }
  }

  it('is made anew from the WAL when it is read, and told', async () => {
    await archiveSegments(6);
    for (const end of [2n, 4n, 6n]) await indexWal(archive, { to: lsn(0x40_00_00_00n + end * BigInt(SIZE)) });
    const pieces = await xidsOf();
    await rot((await archive.index.list()).slice(0, 2));
    const warnings: string[] = [];
    const onEvent = (event: EngineEvent): void => void (event.kind === 'warning' && warnings.push(event.message));
    const missing = vi.fn<(segments: number) => void>();
    const xids: number[] = [];
    for await (const { transactions } of readHistory(await range(), { onEvent }, missing))
      for (const { xid, tables } of transactions) if (tables[0]?.inserted === 1) xids.push(xid);
    expect(xids).toEqual(pieces);
    expect(missing).not.toHaveBeenCalled();
    expect(warnings).toHaveLength(2);
    expect(await xidsOf()).toEqual(pieces);
  });

  it('does not stand in the way of what comes behind it', async () => {
    await archiveSegments(6);
    for (const end of [2n, 4n]) await indexWal(archive, { to: lsn(0x40_00_00_00n + end * BigInt(SIZE)) });
    await rot(await archive.index.list(), IN_STATE);
    const damaged: string[] = [];
    await indexWal(archive, { onDamage: (_, { key }) => void damaged.push(key) });
    expect(damaged).toHaveLength(2);
    const pieces = await xidsOf();
    expect(pieces).toEqual(pieces.map((_, index) => 700 + index));
  });

  it('is left out and counted where it can be neither removed nor made anew', async () => {
    await archiveSegments(4);
    for (const end of [2n, 4n]) await indexWal(archive, { to: lsn(0x40_00_00_00n + end * BigInt(SIZE)) });
    await rot((await archive.index.list()).slice(1));
    const store = faulty(kept, readOnly());
    const reading = openRepository({ store, compressor: copying, compressors: [], now });
    archive = await reading.cluster('main').at(1);
    const missing = vi.fn<(segments: number) => void>();
    let read = 0;
    for await (const { records } of readHistory(await range(), {}, missing)) read += records > 0 ? 1 : 0;
    expect(read).toBe(2);
    expect(missing.mock.calls).toEqual([[2]]);
  });
});
