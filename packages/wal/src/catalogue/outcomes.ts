import { type HeapTuple, INFOMASK } from './heap-tuple.ts';

/** How a transaction ended. Those that are not in the list are under way, or never ended: a crash takes them along. */
export type Outcome = 'commit' | 'abort';

/** What is known of transactions that wrote to catalogues. */
export class Outcomes {
  readonly #known: Map<number, Outcome>;

  constructor(known: Iterable<readonly [number, Outcome]> = []) {
    this.#known = new Map(known);
  }

  get(xid: number): Outcome | undefined {
    return this.#known.get(xid);
  }

  set(xid: number, outcome: Outcome): void {
    this.#known.set(xid, outcome);
  }

  /** It writes here, so it has not ended yet, whatever a backup that was taken later says. */
  begin(xid: number): void {
    this.#known.delete(xid);
  }

  entries(): Iterable<readonly [number, Outcome]> {
    return this.#known;
  }

  /** Keeps those alone that still matter. */
  keep(isNeeded: (xid: number) => boolean): void {
    for (const xid of this.#known.keys()) if (!isNeeded(xid)) this.#known.delete(xid);
  }

  /** `unsure`: it may have been replaced by one that is visible; a multixact is not taken apart. */
  isVisible(tuple: HeapTuple): 'yes' | 'no' | 'unsure' {
    const { infomask } = tuple;
    if (!this.#isBorn(tuple)) return 'no';
    if ((infomask & (INFOMASK.xmaxInvalid | INFOMASK.xmaxLockOnly)) !== 0 || tuple.xmax === 0) return 'yes';
    if ((infomask & INFOMASK.xmaxIsMulti) !== 0) return 'unsure';
    if ((infomask & INFOMASK.xmaxCommitted) !== 0) return 'no';
    return this.#known.get(tuple.xmax) === 'commit' ? 'no' : 'yes';
  }

  #isBorn({ infomask, xmin }: HeapTuple): boolean {
    const hint = infomask & INFOMASK.xminFrozen;
    if (hint === INFOMASK.xminFrozen || hint === INFOMASK.xminCommitted) return true;
    return hint === 0 && xmin !== 0 && this.#known.get(xmin) === 'commit';
  }

  /** The version of a row that everybody sees. */
  visible(versions: readonly HeapTuple[]): HeapTuple | undefined {
    let unsure: HeapTuple | undefined;
    for (const tuple of versions) {
      const visible = this.isVisible(tuple);
      if (visible === 'yes') return tuple;
      if (visible === 'unsure') unsure = tuple;
    }
    return unsure;
  }
}

/** Xids that the system itself uses. */
const FIRST_NORMAL_XID = 3;

/** The xids that a version names, and what it says of their ends. */
export function* toldOutcomes({ infomask, xmin, xmax }: HeapTuple): Generator<readonly [number, Outcome | undefined]> {
  const born = infomask & INFOMASK.xminFrozen;
  const ended = born === INFOMASK.xminInvalid ? 'abort' : 'commit';
  if (xmin >= FIRST_NORMAL_XID) yield [xmin, born === 0 ? undefined : ended];
  if (xmax < FIRST_NORMAL_XID || (infomask & (INFOMASK.xmaxLockOnly | INFOMASK.xmaxIsMulti)) !== 0) return;
  yield [xmax, (infomask & INFOMASK.xmaxCommitted) === 0 ? undefined : 'commit'];
}

/** The xids of a version whose end must be looked up. */
export function unsettledXids({ infomask, xmin, xmax }: HeapTuple): number[] {
  const xids: number[] = [];
  if ((infomask & INFOMASK.xminFrozen) === 0 && xmin !== 0) xids.push(xmin);
  const settled = INFOMASK.xmaxInvalid | INFOMASK.xmaxLockOnly | INFOMASK.xmaxIsMulti | INFOMASK.xmaxCommitted;
  if ((infomask & settled) === 0 && xmax !== 0) xids.push(xmax);
  return xids;
}

/** Transactions per file of pg_xact, which has two bits for each. */
const XIDS_PER_FILE = 32 * 8192 * 4;

/** The file of pg_xact that says how a transaction ended. */
export function outcomeFile(xid: number): string {
  return `pg_xact/${Math.floor(xid / XIDS_PER_FILE)
    .toString(16)
    .toUpperCase()
    .padStart(4, '0')}`;
}

/** What that file says. */
export function outcomeIn(file: Uint8Array, xid: number): Outcome | undefined {
  const index = xid % XIDS_PER_FILE;
  const bits = ((file[index >>> 2] ?? 0) >>> ((index & 3) * 2)) & 3;
  return bits === 1 ? 'commit' : bits === 2 ? 'abort' : undefined;
}
