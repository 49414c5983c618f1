import { type Lsn, lsn } from '@keyframe/contracts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { commitRecord, mainData, type RecordInput, timestamp, WalBuilder } from '../../test/wal-builder.ts';
import {
  createWalLens,
  createWalScanner,
  type LensState,
  NO_LENS_STATE,
  type SegmentIndex,
  type WalEnd,
} from '../index.ts';

const TIME = 1_795_584_000_123_456n;
const SEGMENT_BYTES = 1 << 20;
const PAGE_BYTES = 8192;
const HEAP = 10;
const HEAP2 = 9;
const OPERATION = { insert: 0x00, delete: 0x10, update: 0x20, hotUpdate: 0x40, multiInsert: 0x50 } as const;

interface Row {
  readonly xid: number;
  readonly table: number;
  readonly operation: keyof typeof OPERATION;
  readonly block: number;
  readonly dataBytes: number;
}

/** A heap record with one block reference, as the server writes it. */
function heapRecord({ xid, table, operation, block, dataBytes }: Row): RecordInput {
  const main = Buffer.alloc(operation === 'delete' ? 8 : operation === 'multiInsert' ? 6 : 14);
  if (operation === 'multiInsert') main.writeUInt16LE(7, 2);
  const reference = Buffer.alloc(20);
  reference.writeUInt8(0x20, 1);
  reference.writeUInt16LE(dataBytes, 2);
  reference.writeUInt32LE(1663, 4);
  reference.writeUInt32LE(5, 8);
  reference.writeUInt32LE(table, 12);
  reference.writeUInt32LE(block, 16);
  const headers = Buffer.concat([reference, Buffer.of(255, main.length)]);
  const data = Buffer.concat([headers, Buffer.alloc(dataBytes, 0x41), main]);
  const resourceManager = operation === 'multiInsert' ? HEAP2 : HEAP;
  return { resourceManager, info: OPERATION[operation], xid, data };
}

/** Says that all xids from `next` on begin later. */
function runningRecord(next: number): RecordInput {
  const main = Buffer.alloc(24);
  for (const at of [12, 16, 20]) main.writeUInt32LE(next, at);
  return { resourceManager: 8, info: 0x10, xid: 0, data: mainData(main) };
}

/** A commit as it is at wal_level logical, with its database; `more` sets a further part, of no items. */
const logicalCommit = (xid: number, more = 0): RecordInput => {
  const parts = Buffer.alloc(12);
  parts.writeUInt32LE(1 | more);
  parts.writeUInt32LE(5, 4);
  const data = mainData(Buffer.concat([timestamp(TIME), parts, Buffer.alloc(more === 0 ? 0 : more === 32 ? 16 : 4)]));
  return { resourceManager: 1, info: 0x80, xid, data };
};

const abortRecord = (xid: number): RecordInput => ({
  resourceManager: 1,
  info: 0x20,
  xid,
  data: mainData(timestamp(TIME)),
});

const operations = fc.constantFrom<Row['operation']>('insert', 'delete', 'update', 'hotUpdate', 'multiInsert');
const row = fc.record({
  xid: fc.integer({ min: 700, max: 730 }),
  table: fc.integer({ min: 16_384, max: 16_390 }),
  operation: operations,
  block: fc.integer({ min: 0, max: 40 }),
  dataBytes: fc.oneof(fc.integer({ min: 0, max: 200 }), fc.integer({ min: 3000, max: 30_000 })),
});

/** Rows of many transactions in turn, each ended at last, in an order of their own. */
function write(rows: readonly Row[], segments: number): { wal: WalBuilder; expected: Map<string, string> } {
  const wal = new WalBuilder({ segments });
  const counts = new Map<string, { inserted: number; updated: number; deleted: number }>();
  wal.append(runningRecord(600));
  for (const each of rows) {
    wal.append(heapRecord(each));
    const key = `${each.xid} ${each.table}`;
    const count = counts.get(key) ?? { inserted: 0, updated: 0, deleted: 0 };
    counts.set(key, count);
    if (each.operation === 'delete') count.deleted += 1;
    else if (each.operation === 'insert') count.inserted += 1;
    else if (each.operation === 'multiInsert') count.inserted += 7;
    else count.updated += 1;
  }
  const xids = [...new Set(rows.map(({ xid }) => xid))].toReversed();
  for (const xid of xids) wal.append(xid % 3 === 0 ? abortRecord(xid) : commitRecord(xid, TIME + BigInt(xid)));
  const expected = new Map<string, string>();
  for (const [key, { inserted, updated, deleted }] of counts) {
    const outcome = Number(key.split(' ')[0]) % 3 === 0 ? 'abort' : 'commit';
    expected.set(key, `${outcome} ${inserted} ${updated} ${deleted}`);
  }
  return { wal, expected };
}

interface Piece {
  readonly start: Lsn;
  readonly bytes: Uint8Array;
}

function read(
  segments: readonly Piece[],
  state: LensState = NO_LENS_STATE,
): { indexes: SegmentIndex[]; state: LensState } {
  const lens = createWalLens({ segmentSizeBytes: SEGMENT_BYTES, state });
  const indexes = segments.flatMap(({ start, bytes }, index) => {
    const from = index === 0 ? state.position : undefined;
    return lens.read(bytes, { timeline: 1, start, more: false, from }) ?? [];
  });
  return { indexes, state: lens.state() };
}

function told(indexes: readonly SegmentIndex[]): Map<string, string> {
  const found = new Map<string, string>();
  for (const { transactions } of indexes)
    for (const { xid, outcome, tables } of transactions)
      for (const { relation, inserted, updated, deleted } of tables)
        found.set(`${xid} ${relation.relfilenode}`, `${outcome} ${inserted} ${updated} ${deleted}`);
  return found;
}

const text = (value: unknown): string =>
  JSON.stringify(value, (_, each: unknown) => (typeof each === 'bigint' ? each.toString() : each));

describe('the lens', () => {
  it('counts the rows of every transaction, however its records lie over pages and segments', () => {
    fc.assert(
      fc.property(fc.array(row, { minLength: 1, maxLength: 150 }), (rows) => {
        const { wal, expected } = write(rows, 5);
        const { indexes, state } = read(wal.segments());
        expect(told(indexes)).toEqual(expected);
        expect(state.open).toEqual([]);
        expect(indexes.flatMap(({ transactions }) => transactions).every(({ partial }) => !partial)).toBe(true);
      }),
      { numRuns: 8 },
    );
  });

  it('goes on behind any segment as if it had never stopped', () => {
    fc.assert(
      fc.property(fc.array(row, { minLength: 60, maxLength: 150 }), (rows) => {
        const { wal } = write(rows, 5);
        const segments = wal.segments();
        const whole = read(segments).indexes;
        let state = NO_LENS_STATE;
        const pieces: SegmentIndex[] = [];
        for (const segment of segments) {
          // A record that crosses the boundary is read from its beginning, in the segment before.
          const isEarlier = state.position !== undefined && state.position < segment.start;
          const before = isEarlier ? segments.filter(({ start }) => start < segment.start).slice(-1) : [];
          const next = read([...before, segment], state);
          pieces.push(...next.indexes.slice(before.length));
          ({ state } = next);
          if (state.position === undefined) break;
        }
        expect(text(pieces)).toBe(text(whole.slice(0, pieces.length)));
      }),
      { numRuns: 5 },
    );
  });

  it('puts many transactions that are alike together, and tells each of them when it is asked to', () => {
    const wal = new WalBuilder({ segments: 1 });
    wal.append(runningRecord(600));
    for (let xid = 700; xid < 800; xid++) {
      wal.append(heapRecord({ xid, table: 16_384, operation: 'insert', block: xid % 5, dataBytes: 30 }));
      wal.append(commitRecord(xid, TIME));
    }
    wal.append(heapRecord({ xid: 800, table: 16_384, operation: 'delete', block: 1, dataBytes: 0 }));
    wal.append(commitRecord(800, TIME));
    const [segment] = wal.segments();
    if (segment === undefined) throw new Error('no segment');
    const [index] = read([segment]).indexes;
    expect(index?.folded).toMatchObject([{ outcome: 'commit', count: 100, lowestXid: 700, highestXid: 799 }]);
    expect(index?.transactions.map(({ xid }) => xid)).toEqual([800]);
    const lens = createWalLens({ segmentSizeBytes: SEGMENT_BYTES, fold: false });
    const again = lens.read(segment.bytes, { timeline: 1, start: segment.start, more: false });
    expect(again?.transactions).toHaveLength(101);
    expect(lens.takeBlocks()).toMatchObject([{ fork: 0, blocks: Uint32Array.of(0, 1, 2, 3, 4) }]);
  });

  it('keeps those that may have begun earlier apart from those that did not', () => {
    const wal = new WalBuilder({ segments: 1 });
    for (let xid = 700; xid < 800; xid++) {
      if (xid === 750) wal.append(runningRecord(750));
      wal.append(heapRecord({ xid, table: 16_384, operation: 'insert', block: 3, dataBytes: 30 }));
      wal.append(xid % 2 === 0 ? commitRecord(xid, TIME) : logicalCommit(xid));
    }
    const [index] = read(wal.segments()).indexes;
    expect(index).toMatchObject({ commits: 100, transactions: [], xids: { lowest: 700, highest: 799 } });
    expect(index?.folded).toMatchObject([
      { count: 50, lowestXid: 700, highestXid: 749, partial: true },
      { count: 50, lowestXid: 750, highestXid: 799, partial: false },
    ]);
  });

  it.each([
    ['a subtransaction', 2],
    ['files that are removed', 4],
    ['messages to other sessions', 8],
    ['a prepared transaction', 16],
    ['a replication origin', 32],
  ])('tells a transaction by itself whose end names %s', (_, part) => {
    const wal = new WalBuilder({ segments: 1 });
    wal.append(runningRecord(600));
    for (let xid = 700; xid < 740; xid++) wal.append(commitRecord(xid, TIME));
    wal.append(logicalCommit(740, part));
    const [index] = read(wal.segments()).indexes;
    expect(index?.folded).toMatchObject([{ count: 40 }]);
    expect(index?.transactions).toMatchObject([{ endLsn: expect.toSatisfy((each: Lsn) => each > 0n) }]);
    expect(index?.commits).toBe(41);
  });
});

/** One way to damage WAL. */
const damage = fc.oneof(
  fc.record({ kind: fc.constant('flip' as const), at: fc.nat(), bit: fc.integer({ min: 0, max: 7 }) }),
  fc.record({ kind: fc.constant('cut' as const), at: fc.nat(), bit: fc.constant(0) }),
  fc.record({ kind: fc.constant('swap' as const), at: fc.nat(), bit: fc.integer({ min: 0, max: 7 }) }),
);

function damaged(
  bytes: Uint8Array,
  { kind, at, bit }: { kind: 'flip' | 'cut' | 'swap'; at: number; bit: number },
  used: number,
): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const place = at % used;
  if (kind === 'flip') copy[place] = (copy[place] ?? 0) ^ (1 << bit);
  if (kind === 'cut') copy.fill(0, place);
  if (kind === 'swap') {
    const page = place - (place % PAGE_BYTES);
    const other = ((place + (bit + 1) * PAGE_BYTES) % used) - (((place + (bit + 1) * PAGE_BYTES) % used) % PAGE_BYTES);
    copy.copyWithin(page, other, other + PAGE_BYTES);
  }
  return copy;
}

describe('damaged WAL', () => {
  it('is told to the byte as the plain scanner tells it, and nothing is told that did not happen', () => {
    fc.assert(
      fc.property(fc.array(row, { minLength: 20, maxLength: 60 }), damage, (rows, how) => {
        const { wal } = write(rows, 4);
        const segments = wal.segments();
        const [first] = segments;
        if (first === undefined) return;
        const used = Math.min(SEGMENT_BYTES, Number(wal.position - first.start));
        const broken = [{ start: lsn(first.start), bytes: damaged(first.bytes, how, used) }, ...segments.slice(1)];
        const scanner = createWalScanner({ segmentSizeBytes: SEGMENT_BYTES });
        let end: WalEnd | undefined;
        for (const { start, bytes } of broken) {
          scanner.scan(bytes, start);
          if (scanner.ended !== undefined) {
            end = scanner.ended;
            break;
          }
        }
        const { indexes } = read(broken);
        expect(indexes.find(({ fault }) => fault !== undefined)?.fault).toEqual(end);
        const right = read(segments).indexes;
        const known = new Set(right.flatMap(({ transactions }) => transactions.map((each) => text(each))));
        const before = indexes.slice(0, indexes.findIndex(({ fault }) => fault !== undefined) + 1 || indexes.length);
        for (const each of before.flatMap(({ transactions }) => transactions)) expect(known).toContain(text(each));
      }),
      { numRuns: 20 },
    );
  });
});
