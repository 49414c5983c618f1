import { lsn } from '@keyframe/contracts';
import { type OpenEffects, SHAPE_WORDS } from './open-effects.ts';
import type { FoldedTransactions, TransactionEffect } from './segment-index.ts';
import type { WasmWalker } from './walker.ts';

/** So many that are alike in a segment become one line. */
export const FOLDED_FROM = 32;
/** Flags of a shape. */
const KIND = { abort: 1, partial: 4 } as const;
/** Where the fields of a shape and of an end lie, in bytes; see wasm/layout.ts. */
const SHAPE = { kind: 4, count: 8, effects: 12, words: 16, ends: 20, lowestXid: 24, highestXid: 28 } as const;
const SPAN = { firstLsn: 32, firstTime: 40, lastLsn: 48, lastTime: 56 } as const;
const END = { xid: 0, database: 4, length: 8, next: 12, lsn: 16, firstLsn: 24, time: 32 } as const;

type Alike = Pick<TransactionEffect, 'outcome' | 'tables' | 'partial'>;

/** Reads the transactions of a segment that the walker put together: those that are many, and those that are not. */
export function readOrdinary(
  walker: WasmWalker,
  effects: OpenEffects,
): { readonly folded: FoldedTransactions[]; readonly single: TransactionEffect[] } {
  const folded: FoldedTransactions[] = [];
  const single: TransactionEffect[] = [];
  const { view, words } = walker;
  const foldFrom = walker.number('foldFrom');
  const shapes = walker.number('SHAPES');
  for (let index = 0; index < walker.number('shapes'); index++) {
    const shape = shapes + index * walker.number('SHAPE_BYTES');
    const word = (field: number): number => view.getUint32(shape + field, true);
    const from = word(SHAPE.words) / 4;
    const kind = word(SHAPE.kind);
    const alike: Alike = {
      outcome: (kind & KIND.abort) === 0 ? 'commit' : 'abort',
      partial: (kind & KIND.partial) !== 0,
      tables: effects.tablesOf(words.subarray(from, from + word(SHAPE.effects) * SHAPE_WORDS)),
    };
    const count = word(SHAPE.count);
    if (count < foldFrom) {
      for (let at = word(SHAPE.ends); at !== 0; at = view.getUint32(at + END.next, true))
        single.push(singleOf(view, at, alike));
      continue;
    }
    const at = (field: number): bigint => BigInt(view.getFloat64(shape + field, true));
    folded.push({
      ...alike,
      count,
      firstLsn: lsn(at(SPAN.firstLsn)),
      lastLsn: lsn(at(SPAN.lastLsn)),
      firstTimeMicros: at(SPAN.firstTime),
      lastTimeMicros: at(SPAN.lastTime),
      lowestXid: word(SHAPE.lowestXid),
      highestXid: word(SHAPE.highestXid),
    });
  }
  return { folded, single };
}

function singleOf(view: DataView, end: number, { outcome, tables, partial }: Alike): TransactionEffect {
  const start = view.getFloat64(end + END.lsn, true);
  const database = view.getUint32(end + END.database, true);
  return {
    xid: view.getUint32(end + END.xid, true),
    topXid: 0,
    outcome,
    prepared: false,
    lsn: lsn(BigInt(start)),
    endLsn: lsn(BigInt(start + view.getUint32(end + END.length, true))),
    firstLsn: lsn(BigInt(view.getFloat64(end + END.firstLsn, true))),
    timeMicros: BigInt(view.getFloat64(end + END.time, true)),
    database: database || (tables.find(({ relation }) => relation.database !== 0)?.relation.database ?? 0),
    subtransactions: [],
    tables,
    created: [],
    dropped: [],
    truncated: [],
    messages: [],
    partial,
  };
}
