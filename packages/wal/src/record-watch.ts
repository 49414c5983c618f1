import { type Lsn, lsn } from '@keyframe/contracts';
import { isVisible, mayNameBlocks, visitBlocks } from './block-record.ts';
import type { BlockId, RecordPlace, WalFact, WatchOptions } from './facts.ts';
import type { PostgresMajor } from './page-header.ts';
import type { RecordBody } from './record.ts';

const keyOf = ({ tablespace, database, relfilenode, block }: BlockId): string =>
  `${tablespace}/${database}/${relfilenode}/${block}`;

/** What was asked for by {@link WatchOptions}: which records are looked at, and what is said of them. */
export class RecordWatch {
  readonly files: boolean;
  readonly xid: number;
  readonly #visible: boolean;
  /** Pages that are watched. */
  readonly #blocks: ReadonlySet<string> | undefined;
  readonly #marks: Lsn[];
  /** The first of the marks, relative to the current segment. */
  #markOffset = Infinity;
  #sawXid = false;

  constructor({ files, visible, blocks, positions = [], xid }: WatchOptions = {}) {
    this.files = files === true;
    this.xid = xid ?? 0;
    this.#visible = visible === true;
    this.#blocks = blocks === undefined ? undefined : new Set(blocks.map(keyOf));
    this.#marks = positions.toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  }

  /** Whether the payload of such a record may be needed. */
  needsPayload(resourceManager: number, info: number): boolean {
    return (
      (this.#visible && isVisible(resourceManager, info)) ||
      (this.#blocks !== undefined && mayNameBlocks(resourceManager))
    );
  }

  /** Whether a record is to be looked at that ends at `next`. */
  wants(resourceManager: number, info: number, xid: number, next: number): boolean {
    return (
      (this.#visible && isVisible(resourceManager, info)) ||
      next >= this.#markOffset ||
      (xid === this.xid && xid !== 0 && !this.#sawXid) ||
      this.#blocks !== undefined
    );
  }

  /** Adds to `facts` what is to be said of a record. */
  report(record: RecordBody, place: RecordPlace, next: number, start: bigint, major: PostgresMajor): WalFact[] {
    const facts: WalFact[] = [];
    const { resourceManager, xid } = record;
    const isXid = xid !== 0 && xid === this.xid && !this.#sawXid;
    if (isXid || next >= this.#markOffset) {
      facts.push({ ...place, kind: 'record', resourceManager, xid });
      if (isXid) this.#sawXid = true;
      while (this.#marks[0] !== undefined && place.lsn >= this.#marks[0]) this.#marks.shift();
      this.enter(start);
    }
    const blocks = this.#blocks;
    const visible = this.#visible && isVisible(resourceManager, record.info);
    if (!visible && (blocks === undefined || !mayNameBlocks(resourceManager))) return facts;
    visitBlocks(record, major, (block, restores) => {
      if (visible) facts.push({ kind: 'page-visible', ...place, ...block });
      if (restores && blocks?.has(keyOf(block)) === true) facts.push({ kind: 'block-restored', ...place, ...block });
    });
    return facts;
  }

  /** Moves on to WAL that begins at `start`. */
  enter(start: bigint): void {
    const mark = this.#marks[0];
    this.#markOffset = mark === undefined ? Infinity : Number(mark - lsn(start));
  }
}
