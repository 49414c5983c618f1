import type { Lsn, TimelineId } from '@keyframe/contracts';
import type { RelationId } from '../facts.ts';
import { majorOfMagic, type SegmentHeader } from '../page-header.ts';
import type { RecordBody } from '../record.ts';
import { mainDataStart } from '../record-parts.ts';
import { createWalScanner } from '../scanner.ts';
import type { WalScanner } from '../wal-scanner.ts';
import { decodeRecord } from './decode-record.ts';
import type { CatalogueTracker, DecodedRecord } from './decoded-record.ts';
import { type LensState, NO_LENS_STATE } from './lens-state.ts';
import { readLensFact, UNREADABLE } from './lens-fact.ts';
import { OpenEffects } from './open-effects.ts';
import { FOLDED_FROM, readOrdinary } from './ordinary.ts';
import type { ChangedBlocks, SegmentIndex } from './segment-index.ts';
import { type Ended, SegmentDraft } from './segment-draft.ts';
import { isEnd, isPlainEnd, readEnd, type TransactionEnd } from './transaction-record.ts';
import { type NumberPlace, type RelationFlags, WasmWalker } from './walker.ts';

/** What a lens reads. */
export interface WalLensOptions {
  readonly segmentSizeBytes: number;
  /** As of the scanner. */
  readonly timelineOf?: ((position: Lsn) => TimelineId | undefined) | undefined;
  readonly tracker?: CatalogueTracker | undefined;
  /** Go on where another lens stopped. The tracker must stand there too. */
  readonly state?: LensState | undefined;
  /** Put transactions that are alike together. Default true. */
  readonly fold?: boolean | undefined;
  /** For tests: every record, taken apart. Slow. */
  readonly onRecord?: ((record: DecodedRecord) => void) | undefined;
}

/** One segment, or a piece of it. */
export interface LensPiece {
  /** Of the file that the bytes are of. */
  readonly timeline: TimelineId;
  /** LSN of the first of the bytes. */
  readonly start: Lsn;
  /** More of the same segment follows. */
  readonly more: boolean;
  /** Where the first record begins; only for the first piece of all. */
  readonly from?: Lsn | undefined;
}

/** Reads WAL segment by segment and tells of each what happened in it. Uses about 40 MiB of memory. */
export interface WalLens {
  /** Reads a piece of at most 1 MiB, of whole pages. With the last of a segment comes its index. */
  read(bytes: Uint8Array, piece: LensPiece): SegmentIndex | undefined;
  /** Gives records to this tracker from the next segment on. */
  follow(tracker: CatalogueTracker): void;
  /** Pages that changed since the last call, of all segments. */
  takeBlocks(): ChangedBlocks[];
  /** With what another lens can go on behind the last segment. */
  state(): LensState;
  /** Too many relations were met: go on with another lens, made from the state. */
  readonly isFull: boolean;
  /** Records of the segment that is being read, by `resource manager * 16 + info / 16`. */
  counts(): Uint32Array;
  readonly header: SegmentHeader | undefined;
}

/** A lens at the start of its work. */
export function createWalLens(options: WalLensOptions): WalLens {
  return new Lens(options);
}

const RM = { xlog: 0, xact: 1, smgr: 2, database: 4, relationMap: 7, standby: 8, heap: 10, message: 21 } as const;
const XACT_ASSIGNMENT = 0x50;
const RUNNING_XACTS = 0x10;
const SMGR_CREATE = 0x10;
const HEAP_TRUNCATE = 0x30;
const COUNTERS = 256 * 16;
/** More than any number of transactions in a segment. */
const NEVER = 0xff_ff_ff_ff;
/** From so many on the transactions that a crash took are looked for. */
const MANY_OPEN = 4096;

class Lens implements WalLens {
  readonly #options: WalLensOptions;
  readonly #walker: WasmWalker;
  readonly #effects: OpenEffects;
  #tracker: CatalogueTracker | undefined;
  #scanner: WalScanner;
  #draft: SegmentDraft;
  #isWatching = false;
  #generation = 0;
  /** Transactions of which the tracker was given records. */
  readonly #tracked = new Set<number>();
  #hasMajor = false;

  constructor(options: WalLensOptions) {
    this.#options = options;
    this.#tracker = options.tracker;
    this.#walker = new WasmWalker({
      record: (record, place) => this.#watch(this.#record(record, place)),
      show: (record, place) => this.#show(record, place),
      relation: (relation) => this.#met(relation),
      blocks: () => this.#effects.gatherBlocks(),
      isWatched: (xid) => this.#tracked.has(xid) || this.#draft.isSpecial(xid),
    });
    this.#walker.set('everything', options.onRecord === undefined ? 0 : 1);
    this.#walker.set('foldFrom', options.fold === false ? NEVER : FOLDED_FROM);
    this.#effects = new OpenEffects(this.#walker);
    this.#draft = new SegmentDraft(this.#effects);
    this.#scanner = this.#newScanner();
    this.#restore(options.state ?? NO_LENS_STATE);
  }

  get header(): SegmentHeader | undefined {
    return this.#scanner.header;
  }

  get isFull(): boolean {
    return this.#walker.number('relations') > this.#walker.number('RELATION_CAPACITY') * 0.75;
  }

  read(bytes: Uint8Array, { timeline, start, more, from }: LensPiece): SegmentIndex | undefined {
    if (this.#scanner.ended !== undefined && start % BigInt(this.#options.segmentSizeBytes) === 0n) this.#beginAnew();
    this.#walker.set('segmentStart', this.#draft.enter(timeline, start, this.#options.segmentSizeBytes));
    this.#learnMajor(bytes);
    this.#scanner.scan(bytes, start, { more, from });
    return more ? undefined : this.#endSegment();
  }

  follow(tracker: CatalogueTracker): void {
    this.#tracker = tracker;
    this.#generation = tracker.generation;
    this.#effects.mark((relation) => tracker.wants(relation));
  }

  takeBlocks(): ChangedBlocks[] {
    return this.#effects.takeBlocks();
  }

  counts(): Uint32Array {
    const at = this.#walker.number('COUNTS') / 4;
    return this.#walker.words.slice(at, at + COUNTERS);
  }

  state(): LensState {
    const { ended, unfinished, position } = this.#scanner;
    const isKnown = this.#walker.number('isKnown') !== 0 && this.#walker.number('lost') === 0;
    const knownFrom = isKnown ? this.#walker.number('knownFrom') : undefined;
    const open = this.#draft.open(this.#effects.openXids(), (xid) => this.#tracked.has(xid));
    return { position: ended === undefined ? (unfinished ?? position) : undefined, knownFrom, open };
  }

  #newScanner(): WalScanner {
    const { segmentSizeBytes, timelineOf } = this.#options;
    return createWalScanner({ segmentSizeBytes, timelineOf, walker: this.#walker });
  }

  #restore({ knownFrom, open }: LensState): void {
    this.#know(knownFrom);
    for (const { xid, topXid, firstLsn, tables, tracked } of open) {
      this.#effects.restore(xid, topXid, Number(firstLsn), tables);
      if (tracked) this.#tracked.add(xid);
    }
    this.#draft.restore(open);
    this.#watch(true);
    this.#walker.walker.clearSegment();
  }

  /** After a fault: what began before it may have done more than is seen. */
  #beginAnew(): void {
    this.#scanner = this.#newScanner();
    this.#know(undefined);
  }

  /** Of transactions from that one on all is known. */
  #know(from: number | undefined): void {
    this.#walker.set('isKnown', from === undefined ? 0 : 1);
    this.#walker.set('knownFrom', from ?? 0);
  }

  /** Tells the walker whether it must ask about transactions that end. */
  #watch(result: boolean): boolean {
    const isWatching = this.#tracked.size > 0 || this.#draft.hasSpecial;
    if (isWatching !== this.#isWatching) this.#walker.set('watching', isWatching ? 1 : 0);
    this.#isWatching = isWatching;
    return result;
  }

  /** Which the shape of images depends on, so it is needed before the first record. */
  #learnMajor(bytes: Uint8Array): void {
    if (this.#hasMajor) return;
    const major = majorOfMagic((bytes[0] ?? 0) | ((bytes[1] ?? 0) << 8));
    if (major !== undefined) this.#walker.set('major', major);
    this.#hasMajor = true;
  }

  #endSegment(): SegmentIndex {
    const index = this.#draft.finish({
      records: this.#walker.number('records'),
      fault: this.#scanner.ended,
      ended: this.#ended(),
      ordinary: readOrdinary(this.#walker, this.#effects),
    });
    this.#walker.walker.clearSegment();
    const notes = this.#tracker?.endSegment(index);
    return notes === undefined ? index : { ...index, notes };
  }

  /** What ended since the segment began. */
  #ended(): Ended {
    const { view } = this.#walker;
    const at = this.#walker.number('ENDED');
    const [commits, aborts] = [view.getUint32(at, true), view.getUint32(at + 4, true)];
    if (commits + aborts === 0) return { commits, aborts, times: undefined, xids: undefined };
    const time = (field: number): bigint => BigInt(view.getFloat64(at + field, true));
    const times = { first: time(16), last: time(24) };
    return {
      commits,
      aborts,
      times,
      xids: { lowest: view.getUint32(at + 8, true), highest: view.getUint32(at + 12, true) },
    };
  }

  #met(relation: RelationId): RelationFlags {
    return this.#effects.met(relation, this.#tracker?.wants(relation) === true);
  }

  /** False ends the scan before the record. */
  #record(record: RecordBody, place: NumberPlace): boolean {
    const { resourceManager, info, xid } = record;
    if (resourceManager === RM.xact) return this.#transaction(record, place);
    if (resourceManager === RM.standby) this.#standby(record);
    else if (resourceManager === RM.heap && (info & 0x70) === HEAP_TRUNCATE) this.#draft.truncates(record);
    else if (resourceManager === RM.message) this.#draft.says(record, place.start);
    else if (resourceManager < RM.standby) {
      const fact = readLensFact(record, place, this.#major);
      if (fact === UNREADABLE) return false;
      if (fact !== undefined) this.#draft.tells(fact);
      if (resourceManager === RM.smgr && (info & 0xf0) === SMGR_CREATE) this.#draft.creates(xid, fact);
    }
    return this.#isForTracker(resourceManager) ? this.#track(record, place) : true;
  }

  get #major(): NonNullable<SegmentHeader['postgresMajor']> {
    return this.#scanner.header?.postgresMajor ?? 18;
  }

  #show(record: RecordBody, place: NumberPlace): boolean {
    const decoded = decodeRecord(record, place, this.#major);
    if (decoded !== undefined) this.#options.onRecord?.(decoded);
    return decoded !== undefined;
  }

  #isForTracker(resourceManager: number): boolean {
    if (this.#tracker === undefined || resourceManager === RM.standby || resourceManager === RM.message) return false;
    return true;
  }

  #track(record: RecordBody, place: NumberPlace): boolean {
    const tracker = this.#tracker;
    if (tracker === undefined) return true;
    const decoded = decodeRecord(record, place, this.#major);
    if (decoded === undefined) return false;
    const { resourceManager, xid } = record;
    const isOwn = resourceManager === RM.smgr || resourceManager === RM.database || resourceManager === RM.relationMap;
    if (!isOwn && resourceManager !== RM.xact && !decoded.blocks.some((block) => tracker.wants(block))) return true;
    tracker.apply(decoded);
    if (xid !== 0) this.#tracked.add(xid);
    if (tracker.generation !== this.#generation) {
      this.#generation = tracker.generation;
      this.#effects.mark((relation) => tracker.wants(relation));
    }
    return true;
  }

  #standby(record: RecordBody): void {
    const at = mainDataStart(record);
    const { view, info, end } = record;
    if ((info & 0xf0) !== RUNNING_XACTS || at === undefined || at + 24 > end) return;
    const next = view.getUint32(at + 12, true);
    const oldest = view.getUint32(at + 16, true);
    if (this.#walker.number('isKnown') === 0) this.#know(next);
    if (this.#walker.number('transactions') > MANY_OPEN) this.#walker.walker.purge(oldest);
    const isGone = (each: number): boolean => ((each - oldest) | 0) < 0;
    this.#draft.purge(isGone);
    for (const each of this.#tracked) if (isGone(each)) this.#tracked.delete(each);
  }

  #transaction(record: RecordBody, place: NumberPlace): boolean {
    const { info, xid } = record;
    if ((info & 0x70) === XACT_ASSIGNMENT) return this.#assign(record, place);
    if (!isEnd(info)) return this.#track(record, place);
    const end = readEnd(record, this.#major);
    if (end === undefined) return false;
    const isForTracker = !isPlainEnd(info) || this.#tracked.has(xid);
    if (isForTracker && !this.#track(record, place)) return false;
    this.#end(end, place);
    return true;
  }

  #end(end: TransactionEnd, place: NumberPlace): void {
    const { xid, timeMicros, outcome } = end;
    const { walker } = this.#walker;
    const found = this.#effects.finish(xid);
    this.#draft.add(end, found, { ...place, isPartial: walker.isPartial(xid) !== 0 });
    walker.noteEnd(outcome === 'abort' ? 1 : 0, xid, timeMicros);
    this.#effects.release(found.first);
    this.#tracked.delete(xid);
    for (const each of end.subtransactions) this.#tracked.delete(each);
  }

  #assign(record: RecordBody, place: NumberPlace): boolean {
    const at = mainDataStart(record);
    const { view, end } = record;
    if (at === undefined || at + 8 > end) return false;
    const top = view.getUint32(at, true);
    const count = view.getInt32(at + 4, true);
    if (count < 0 || at + 8 + count * 4 > end) return false;
    const { walker } = this.#walker;
    for (let index = 0; index < count; index++)
      walker.noteTop(
        view.getUint32(at + 8 + index * 4, true),
        top,
        place.start % 2 ** 32,
        Math.floor(place.start / 2 ** 32),
      );
    return true;
  }
}
