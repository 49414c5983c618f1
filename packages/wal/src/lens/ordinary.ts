import type { FoundEffects, OpenEffects } from './open-effects.ts';
import type { FoldedTransactions, TransactionEffect } from './segment-index.ts';
import { lsn } from '@keyframe/contracts';

/** So many that are alike in a segment become one line. */
export const FOLDED_FROM = 32;
/** A transaction with more rows in a table is never one of many. */
const LARGEST_FOLDED = 100;

/** When and where an ordinary transaction ended, in numbers: most transactions are of this kind. */
export interface OrdinaryEnd {
  readonly commits: boolean;
  readonly xid: number;
  readonly start: number;
  readonly end: number;
  readonly firstLsn: number;
  readonly timeMicros: number;
  readonly database: number;
}

interface Shape {
  readonly words: Uint32Array;
  readonly commits: boolean;
  count: number;
  /** The first of them, until they are too many to be told one by one. */
  readonly ends: OrdinaryEnd[];
  readonly last: { start: number; timeMicros: number };
  lowestXid: number;
  highestXid: number;
}

/** Gathers the transactions of a segment that are alike. */
export class OrdinaryTransactions {
  readonly #effects: OpenEffects;
  #shapes = new Map<number, Shape[]>();

  readonly #foldedFrom: number;

  /** `foldedFrom` that are alike become one line. */
  constructor(effects: OpenEffects, foldedFrom: number) {
    this.#effects = effects;
    this.#foldedFrom = foldedFrom;
  }

  /** Takes one in, which is copied if it is kept; false for one that must be told by itself. */
  take(found: FoundEffects, end: OrdinaryEnd): boolean {
    const hash = this.#effects.shapeHash(found.first, LARGEST_FOLDED);
    if (hash < 0) return false;
    const known = this.#find(hash, found, end.commits);
    if (known === undefined) {
      const words = this.#effects.shape(found.first, found.count);
      const { commits, xid } = end;
      const first = { ...end };
      const shape = { words, commits, count: 1, ends: [first], last: { ...end }, lowestXid: xid, highestXid: xid };
      const shapes = this.#shapes.get(hash);
      if (shapes === undefined) this.#shapes.set(hash, [shape]);
      else shapes.push(shape);
      return true;
    }
    known.count += 1;
    if (known.count < this.#foldedFrom) known.ends.push({ ...end });
    const { last } = known;
    last.start = end.start;
    last.timeMicros = end.timeMicros;
    if (precedes(end.xid, known.lowestXid)) known.lowestXid = end.xid;
    else if (precedes(known.highestXid, end.xid)) known.highestXid = end.xid;
    return true;
  }

  #find(hash: number, { first, count }: FoundEffects, commits: boolean): Shape | undefined {
    const shapes = this.#shapes.get(hash);
    if (shapes === undefined) return undefined;
    for (const shape of shapes)
      if (shape.commits === commits && this.#effects.hasShape(first, count, shape.words)) return shape;
    return undefined;
  }

  /** Those that are many, and those that are not. Begins anew. */
  finish(): { readonly folded: FoldedTransactions[]; readonly single: TransactionEffect[] } {
    const folded: FoldedTransactions[] = [];
    const single: TransactionEffect[] = [];
    for (const shape of [...this.#shapes.values()].flat()) {
      const tables = this.#effects.tablesOf(shape.words);
      const outcome = shape.commits ? 'commit' : 'abort';
      const [first] = shape.ends;
      if (shape.count < this.#foldedFrom || first === undefined)
        for (const end of shape.ends) single.push(singleOf(end, tables));
      else
        folded.push({
          outcome,
          count: shape.count,
          tables,
          firstLsn: lsn(BigInt(first.start)),
          lastLsn: lsn(BigInt(shape.last.start)),
          firstTimeMicros: BigInt(first.timeMicros),
          lastTimeMicros: BigInt(shape.last.timeMicros),
          lowestXid: shape.lowestXid,
          highestXid: shape.highestXid,
        });
    }
    this.#shapes = new Map();
    return { folded, single };
  }
}

/** Whether a transaction id comes before another one; they go round. */
export function precedes(xid: number, other: number): boolean {
  return ((xid - other) | 0) < 0;
}

function singleOf(end: OrdinaryEnd, tables: TransactionEffect['tables']): TransactionEffect {
  return {
    xid: end.xid,
    topXid: 0,
    outcome: end.commits ? 'commit' : 'abort',
    prepared: false,
    lsn: lsn(BigInt(end.start)),
    endLsn: lsn(BigInt(end.end)),
    firstLsn: lsn(BigInt(end.firstLsn)),
    timeMicros: BigInt(end.timeMicros),
    database: end.database || (tables.find(({ relation }) => relation.database !== 0)?.relation.database ?? 0),
    subtransactions: [],
    tables,
    created: [],
    dropped: [],
    truncated: [],
    messages: [],
    partial: false,
  };
}
