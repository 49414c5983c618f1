import { type Compressor, type Lsn, lsn, segmentName } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { type EpochArchive, openRepository } from '@keyframe/repository';
import { createMemoryStore } from '@keyframe/testkit';
import { beforeEach, describe, expect, it } from 'vitest';
import { commitRecord, mainData, type RecordInput, WalBuilder } from '../../../wal/test/wal-builder.ts';
import { expireIndex } from './expire-index.ts';
import { indexWal } from './index-wal.ts';
import { type ReadIndexOptions, readIndex } from './read-index.ts';

const SIZE = 1 << 20;
const TIME = 1_795_584_000_123_456n;
const HISTORY = { timeline: 1, ancestors: [] };
const copying: Compressor = { id: 'copy', compress: async (frame) => frame, decompress: async (frame) => frame };

let archive: EpochArchive;
let wal: WalBuilder;
const store = (): ReturnType<typeof createMemoryStore> => createMemoryStore();

beforeEach(async () => {
  const now = (): Date => new Date();
  const repository = openRepository({ store: store(), compressor: copying, compressors: [], now });
  await repository.init();
  archive = await repository.cluster('main').create({ systemIdentifier: '7', postgresVersion: 170_000 });
});

/** A row inserted into table 16384, large enough that records cross pages and segments. */
function inserted(xid: number, dataBytes: number): RecordInput {
  const reference = Buffer.alloc(20);
  reference.writeUInt8(0x20, 1);
  reference.writeUInt16LE(dataBytes, 2);
  for (const [at, value] of [1663, 5, 16_384, xid].entries()) reference.writeUInt32LE(value, 4 + at * 4);
  const main = mainData(Buffer.alloc(3));
  const data = Buffer.concat([reference, main.subarray(0, 2), Buffer.alloc(dataBytes), main.subarray(2)]);
  return { resourceManager: 10, info: 0, xid, data };
}

/** Archives segments full of transactions of one row each. */
async function archiveSegments(count: number, start = 0x40_00_00_00n): Promise<number> {
  wal = new WalBuilder({ segments: count + 1, start });
  const running = Buffer.alloc(24);
  for (const at of [12, 16, 20]) running.writeUInt32LE(600, at);
  wal.append({ resourceManager: 8, info: 0x10, data: mainData(running) });
  const end = start + BigInt(count * SIZE);
  let xid = 700;
  for (; wal.position < end; xid++) {
    wal.append(inserted(xid, 50_000 + (xid % 7)));
    wal.append(commitRecord(xid, TIME + BigInt(xid)));
  }
  for (const segment of wal.segments().slice(0, count)) await put(segment);
  return xid - 700;
}

async function put({ start, bytes }: { readonly start: Lsn; readonly bytes: Buffer }): Promise<void> {
  const name = segmentName(1, start / BigInt(SIZE), SIZE);
  const facts = { systemIdentifier: '7', timeline: 1, segmentSizeBytes: SIZE };
  await archive.wal.put({ name, content: bytesOf(bytes), facts });
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
    await archiveSegments(4);
    const broken = wal.segments()[1];
    if (broken === undefined) throw new Error('no segment');
    const ref = segmentName(1, broken.start / BigInt(SIZE), SIZE);
    const fresh = openRepository({ store: store(), compressor: copying, compressors: [], now: () => new Date() });
    await fresh.init();
    archive = await fresh.cluster('main').create({ systemIdentifier: '7', postgresVersion: 170_000 });
    for (const [index, segment] of wal.segments().slice(0, 4).entries()) {
      if (index === 1) segment.bytes.fill(0x55, 300_000, 300_010);
      await put(segment);
    }
    const report = await indexWal(archive);
    expect(report.faults.map(({ name }) => name)).toEqual([ref]);
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
