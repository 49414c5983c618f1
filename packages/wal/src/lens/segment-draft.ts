import { type Lsn, lsn, type TimelineId } from '@keyframe/contracts';
import type { RelationId } from '../facts.ts';
import type { RecordBody } from '../record.ts';
import { mainDataStart } from '../record-parts.ts';
import type { WalEnd } from '../segment-pages.ts';
import type { OpenTransaction } from './lens-state.ts';
import type { FoundEffects, OpenEffects } from './open-effects.ts';
import type { readOrdinary } from './ordinary.ts';
import type { LensFact, MessageEffect, RelationEffect, SegmentIndex, TransactionEffect } from './segment-index.ts';
import type { TransactionEnd } from './transaction-record.ts';
import type { NumberPlace } from './walker.ts';

/** What few transactions do beside writing rows. */
interface Special {
  readonly created: RelationId[];
  readonly truncated: number[];
  readonly messages: MessageEffect[];
}

/** How many transactions ended, and which. */
export type Ended = Pick<SegmentIndex, 'commits' | 'aborts' | 'times' | 'xids'>;

/** What is known at the end of a segment beside what was drafted. */
interface SegmentEnd {
  readonly records: number;
  readonly fault: WalEnd | undefined;
  readonly ended: Ended;
  readonly ordinary: ReturnType<typeof readOrdinary>;
}

const TRUNCATE = { relations: 4, oids: 12 } as const;
const MESSAGE = { transactional: 4, prefix: 8, size: 16, text: 24 } as const;

/** The index of the segment that is being read, and what transactions that are open did beside writing rows. */
export class SegmentDraft {
  readonly #effects: OpenEffects;
  readonly #special = new Map<number, Special>();
  #timeline: TimelineId = 0;
  #start = -1;
  #end = 0;
  #transactions: TransactionEffect[] = [];
  #facts: LensFact[] = [];

  constructor(effects: OpenEffects) {
    this.#effects = effects;
  }

  /** The segment that a piece is of. Returns where it starts. */
  enter(timeline: TimelineId, piece: Lsn, segmentSizeBytes: number): number {
    this.#timeline = timeline;
    const start = Number(piece - (piece % BigInt(segmentSizeBytes)));
    this.#start = start;
    this.#end = start + segmentSizeBytes;
    return start;
  }

  /** Whether any transaction that is open did something beside writing rows. */
  get hasSpecial(): boolean {
    return this.#special.size > 0;
  }

  /** Whether that one did. */
  isSpecial(xid: number): boolean {
    return this.#special.has(xid);
  }

  tells(fact: LensFact): void {
    this.#facts.push(fact);
  }

  creates(xid: number, fact: LensFact | undefined): void {
    // Whoever makes a file has an xid by then, since he holds its relation locked against everybody; standbys are told of that.
    if (fact?.kind !== 'relation-create' || !fact.isMain || xid === 0) return;
    const { tablespace, database, relfilenode } = fact;
    this.#of(xid).created.push({ tablespace, database, relfilenode });
  }

  /** A heap record that names truncated tables by their oids. */
  truncates(record: RecordBody): void {
    const at = mainDataStart(record);
    const { view, end, xid } = record;
    if (at === undefined || at + TRUNCATE.oids > end) return;
    const count = view.getUint32(at + TRUNCATE.relations, true);
    const { truncated } = this.#of(xid);
    for (let index = 0; index < count && at + TRUNCATE.oids + index * 4 + 4 <= end; index++)
      truncated.push(view.getUint32(at + TRUNCATE.oids + index * 4, true));
  }

  /** A logical message. */
  says(record: RecordBody, start: number): void {
    const at = mainDataStart(record);
    const { view, bytes, end, xid } = record;
    if (at === undefined || at + MESSAGE.text > end || xid === 0 || view.getUint8(at + MESSAGE.transactional) === 0)
      return;
    const prefixBytes = Number(view.getBigUint64(at + MESSAGE.prefix, true));
    const text = at + MESSAGE.text;
    if (text + prefixBytes > end) return;
    // The length counts the zero behind it.
    const prefix = Buffer.from(bytes.subarray(text, text + Math.max(0, prefixBytes - 1))).toString('utf8');
    const sizeBytes = Number(view.getBigUint64(at + MESSAGE.size, true));
    this.#of(xid).messages.push({ lsn: lsn(BigInt(start)), prefix, sizeBytes });
  }

  /** Adds a transaction with all that it and its subtransactions did. */
  add(end: TransactionEnd, found: FoundEffects, place: NumberPlace & { readonly isPartial: boolean }): void {
    const shapes = [this.#effects.shape(found.first, found.count)];
    const specials = [this.#take(end.xid)];
    let { firstLsn } = found;
    for (const xid of end.subtransactions) {
      const child = this.#effects.finish(xid);
      shapes.push(this.#effects.shape(child.first, child.count));
      this.#effects.release(child.first);
      if (child.firstLsn !== 0 && (firstLsn === 0 || child.firstLsn < firstLsn)) ({ firstLsn } = child);
      specials.push(this.#take(xid));
    }
    const tables = this.#effects.tablesOf(joined(shapes));
    this.#transactions.push({
      xid: end.xid,
      topXid: end.outcome === 'abort' ? found.topXid : 0,
      outcome: end.outcome,
      prepared: end.prepared,
      lsn: lsn(BigInt(place.start)),
      endLsn: lsn(BigInt(place.end)),
      firstLsn: lsn(BigInt(firstLsn || place.start)),
      timeMicros: BigInt(end.timeMicros),
      database: end.database || databaseOf(tables),
      subtransactions: end.subtransactions,
      tables,
      created: specials.flatMap((special) => special?.created ?? []),
      dropped: end.dropped,
      truncated: specials.flatMap((special) => special?.truncated ?? []),
      messages: specials.flatMap((special) => special?.messages ?? []),
      partial: place.isPartial,
    });
  }

  /** Forgets transactions that a crash took. */
  purge(isGone: (xid: number) => boolean): void {
    for (const xid of this.#special.keys()) if (isGone(xid)) this.#special.delete(xid);
  }

  /** The segment's index; the draft begins anew. */
  finish({ records, fault, ended, ordinary }: SegmentEnd): SegmentIndex {
    const transactions = [...this.#transactions, ...ordinary.single];
    const index: SegmentIndex = {
      timeline: this.#timeline,
      startLsn: lsn(BigInt(this.#start)),
      endLsn: lsn(BigInt(this.#end)),
      records,
      ...ended,
      transactions: transactions.toSorted((a, b) => Number(a.lsn) - Number(b.lsn)),
      folded: ordinary.folded.toSorted((a, b) => Number(a.firstLsn) - Number(b.firstLsn)),
      relations: this.#effects.segment(),
      facts: this.#facts,
      fault,
      notes: undefined,
    };
    this.#transactions = [];
    this.#facts = [];
    return index;
  }

  /** The transactions that have not ended. */
  open(xids: readonly number[], isTracked: (xid: number) => boolean): OpenTransaction[] {
    const all = new Set([...xids, ...this.#special.keys()]);
    return [...all]
      .toSorted((a, b) => a - b)
      .map((xid) => {
        const found = this.#effects.finish(xid);
        const tables = this.#effects.tablesOf(this.#effects.shape(found.first, found.count));
        this.#effects.release(found.first);
        const { topXid } = found;
        // It was only looked at.
        if (found.firstLsn !== 0) this.#effects.restore(xid, topXid, found.firstLsn, tables);
        const { created, truncated, messages } = this.#special.get(xid) ?? NOTHING;
        const firstLsn = lsn(BigInt(found.firstLsn));
        return { xid, topXid, firstLsn, tables, created, truncated, messages, tracked: isTracked(xid) };
      });
  }

  restore(open: readonly OpenTransaction[]): void {
    for (const { xid, created, truncated, messages } of open)
      if (created.length + truncated.length + messages.length > 0)
        this.#special.set(xid, { created: [...created], truncated: [...truncated], messages: [...messages] });
  }

  #of(xid: number): Special {
    const known = this.#special.get(xid);
    if (known !== undefined) return known;
    const made = { created: [], truncated: [], messages: [] };
    this.#special.set(xid, made);
    return made;
  }

  #take(xid: number): Special | undefined {
    const special = this.#special.get(xid);
    this.#special.delete(xid);
    return special;
  }
}

const NOTHING: Special = { created: [], truncated: [], messages: [] };

const databaseOf = (tables: readonly RelationEffect[]): number =>
  tables.find(({ relation }) => relation.database !== 0)?.relation.database ?? 0;

function joined(shapes: readonly Uint32Array[]): Uint32Array {
  const [only] = shapes;
  if (shapes.length === 1 && only !== undefined) return only;
  const all = new Uint32Array(shapes.reduce((sum, shape) => sum + shape.length, 0));
  let at = 0;
  for (const shape of shapes) {
    all.set(shape, at);
    at += shape.length;
  }
  return all;
}
