/** The indexes of the WAL along a timeline's history. @packageDocumentation */
import { type Abortable, hasCode, type KeyframeError, type Lsn, lsn, segmentName } from '@keyframe/contracts';
import { pathOf, timelineAt, type TimelineHistory } from '@keyframe/postgres';
import type { EpochArchive, SegmentSummary, WalIndexCache, WalIndexRef, WalInventory } from '@keyframe/repository';
import { createWalLens, decodeNotes, type SegmentIndex } from '@keyframe/wal';
import { type StageOptions, warnOf } from '../events.ts';
import { coveringRefs, mergeableGroups, missingRuns, within } from '../lens/coverage.ts';
import { indexWal, mendIndex } from '../lens/index-wal.ts';
import {
  type IndexedPart,
  type PartOutline,
  readIndex,
  type ReadIndexOptions,
  readOutlines,
  readParts,
  type ReadSegmentIndex,
} from '../lens/read-index.ts';
import { ask, readSegment } from '../lens/read-segment.ts';
import { trackersOf } from '../lens/trackers.ts';

/** What is read. */
export interface HistoryRange {
  readonly archive: EpochArchive;
  readonly history: TimelineHistory;
  readonly inventory: WalInventory;
  /** Segments that hold WAL from here on. Default: all. */
  readonly from?: Lsn | undefined;
  /** Transactions that ended between; microseconds since 1970-01-01 UTC. What has no time is read too. */
  readonly since?: bigint | undefined;
  readonly until?: bigint | undefined;
  /** The objects of the index. Default: they are listed. */
  readonly refs?: readonly WalIndexRef[] | undefined;
  readonly cache?: WalIndexCache | undefined;
}

/**
 * Indexes what of the range is not indexed yet. Returns the objects that there are then.
 * @throws {KeyframeError} KEY_REQUIRED, UNAVAILABLE
 */
export async function indexMissing(range: HistoryRange, options: StageOptions): Promise<readonly WalIndexRef[]> {
  const { archive, history, inventory, from, cache } = range;
  const { segmentSizeBytes } = inventory;
  tellOpen(range, options);
  const refs = await archive.index.list(options);
  const size = BigInt(segmentSizeBytes);
  const work = pathOf(history)
    // The segment with the fork is read on the child's side.
    .map(({ timeline, end }) => ({ timeline, to: end === undefined ? undefined : lsn((end / size) * size) }))
    .filter(({ to }) => from === undefined || to === undefined || to > from)
    .filter(({ timeline, to }) => {
      const own = coveringRefs(refs, timeline);
      const ranges = within(inventory.ranges(timeline), { from, to }, segmentSizeBytes);
      return missingRuns(ranges, own, segmentSizeBytes).length + mergeableGroups(own, segmentSizeBytes).length > 0;
    });
  if (work.length === 0) return refs;
  const trackers = trackersOf(archive, options);
  const onDamage = tellDamage(options);
  const onProgress = ({ segments, total, name }: { segments: number; total: number; name: string }): void =>
    options.onEvent?.({ kind: 'index', done: segments, total, segment: name });
  try {
    for (const { timeline, to } of work)
      await indexWal(archive, { signal: options.signal, timeline, from, to, trackers, cache, onDamage, onProgress });
  } catch (error) {
    if (!hasCode(error, 'ACCESS_DENIED')) throw error;
    warnOf(options)(error);
  }
  return archive.index.list(options);
}

/** A segment that is still being written, of which parts were streamed, is indexed once it is whole. */
function tellOpen({ history, inventory }: HistoryRange, { onEvent }: StageOptions): void {
  const { timeline } = history;
  const open = inventory.streamed.findLast((each) => each.timeline === timeline);
  if (open === undefined || open.number <= (inventory.ranges(timeline).at(-1)?.last ?? -1n)) return;
  const name = segmentName(timeline, open.number, inventory.segmentSizeBytes);
  const message = `what ended in WAL segment ${name}, of which ${open.endBytes} bytes were streamed, is not told yet: it is still being written`;
  onEvent?.({ kind: 'warning', message, hint: 'On a server that runs, `select pg_switch_wal()` makes it whole.' });
}

/** How the index of a range is read: what is damaged of it is made anew, and only segments in which something ended in time. */
function readingOf(range: HistoryRange, options: StageOptions): ReadIndexOptions {
  const { history, inventory, from, since, until, refs, cache } = range;
  const { segmentSizeBytes } = inventory;
  const wants = ({ times }: SegmentSummary): boolean =>
    times === undefined ||
    ((since === undefined || times.last >= since) && (until === undefined || times.first <= until));
  const onDamage = mending(range, options);
  return { signal: options.signal, history, segmentSizeBytes, from, refs, wants, cache, onDamage };
}

/** Indexes in the order of the WAL, those alone in which something ended in time. `missing` counts segments that it lacks. */
export async function* readHistory(
  range: HistoryRange,
  options: StageOptions = {},
  missing: (segments: number) => void = () => undefined,
): AsyncGenerator<SegmentIndex> {
  const gaps = new Gaps(range, missing);
  for await (const { summary, index } of readIndex(range.archive, readingOf(range, options))) {
    gaps.pass(summary);
    if (index !== undefined) yield index;
  }
  gaps.finish();
}

/** Outlines in the order of the WAL, with what is known of each segment in which something ended in time. */
export async function* readHistoryOutlines(
  range: HistoryRange,
  options: StageOptions,
  missing: (segments: number) => void,
): AsyncGenerator<PartOutline> {
  const gaps = new Gaps(range, missing);
  const reading = readingOf(range, options);
  for await (const each of readOutlines(range.archive, reading)) {
    for (const summary of each.summaries) gaps.pass(summary);
    yield { ...each, summaries: each.summaries.filter((summary) => reading.wants?.(summary) !== false) };
  }
  gaps.finish();
}

/** The indexes in parts of a range, in the order of the parts: of those alone in which something ended in time. */
export async function* readHistoryParts(
  range: HistoryRange,
  parts: readonly IndexedPart[],
  options: StageOptions,
): AsyncGenerator<readonly [IndexedPart, AsyncIterable<ReadSegmentIndex>]> {
  yield* readParts(range.archive, parts, readingOf(range, options));
}

/** Counts segments that are not indexed, or could not be read whole. */
class Gaps {
  readonly #missing: (segments: number) => void;
  readonly #sizeBytes: bigint;
  readonly #end: bigint;
  #at: bigint;

  constructor(range: HistoryRange, missing: (segments: number) => void) {
    [this.#at, this.#end] = archivedSpan(range);
    this.#sizeBytes = BigInt(range.inventory.segmentSizeBytes);
    this.#missing = missing;
  }

  pass({ startLsn, endLsn, fault }: SegmentSummary): void {
    this.#reach(startLsn);
    if (fault !== undefined) this.#missing(1);
    this.#at = endLsn;
  }

  finish(): void {
    this.#reach(this.#end);
  }

  #reach(next: bigint): void {
    if (next > this.#at) this.#missing(Number((next - this.#at) / this.#sizeBytes));
  }
}

/** First and last byte that the archive has of a history, whatever is missing between. */
function archivedSpan({ history, inventory, from }: HistoryRange): readonly [start: bigint, end: bigint] {
  const size = BigInt(inventory.segmentSizeBytes);
  const spans = pathOf(history).flatMap(({ timeline, end }) => {
    // The segment with the fork is read on the child's side.
    const bound = end === undefined ? undefined : (end / size) * size;
    return inventory
      .ranges(timeline)
      .map(({ first, last }) => [first * size, (last + 1n) * size] as const)
      .map(([first, last]) => [first, bound !== undefined && bound < last ? bound : last] as const);
  });
  const inside = spans.filter(([first, last]) => first < last && last > (from ?? 0n));
  const [start, last] = [inside[0]?.[0] ?? 0n, inside.at(-1)?.[1] ?? 0n];
  return [from !== undefined && start < from ? (from / size) * size : start, last];
}

/** Makes objects anew, one after the other: one may need what the one before it tells. */
function mending(
  { archive, cache }: HistoryRange,
  options: StageOptions,
): (error: KeyframeError, ref: WalIndexRef) => Promise<boolean> {
  const mend = async (error: KeyframeError, ref: WalIndexRef): Promise<boolean> => {
    options.signal?.throwIfAborted();
    tellDamage(options)(error);
    try {
      const trackers = trackersOf(archive, options);
      return await mendIndex(archive, ref, error, { signal: options.signal, cache, trackers });
    } catch (fault) {
      if (!hasCode(fault, 'ACCESS_DENIED')) throw fault;
      warnOf(options)(fault);
      return false;
    }
  };
  let last: Promise<unknown> = Promise.resolve();
  const after = async (before: Promise<unknown>, ...damage: Parameters<typeof mend>): Promise<boolean> => {
    await before;
    return mend(...damage);
  };
  return (...damage) => {
    const turn = after(last, ...damage);
    last = Promise.allSettled([turn]);
    return turn;
  };
}

/** Tells that an object is about to be made anew. */
function tellDamage({ onEvent }: StageOptions): (fault: KeyframeError) => void {
  return ({ message }) => onEvent?.({ kind: 'warning', message: `${message}; it is made anew from the WAL` });
}

/** Transactions in one line may have met a table under two names. */
export function crossesRename({ folded, notes }: SegmentIndex): boolean {
  if (folded.length === 0 || notes === undefined) return false;
  return decodeNotes(notes).relations.some(({ earlier }) => earlier !== undefined);
}

/**
 * The same index with each transaction by itself, which takes reading the segment again.
 * @throws {KeyframeError} CORRUPT, UNAVAILABLE
 */
export async function unfolded(
  range: HistoryRange,
  index: SegmentIndex,
  options: Abortable = {},
): Promise<SegmentIndex> {
  if (index.folded.length === 0) return index;
  const { segmentSizeBytes } = range.inventory;
  const lens = createWalLens({
    segmentSizeBytes,
    timelineOf: (position) => timelineAt(range.history, position),
    fold: false,
  });
  const number = index.startLsn / BigInt(segmentSizeBytes);
  const coming = ask(range.archive, { timeline: index.timeline, number, segmentSizeBytes }, options);
  const again = await readSegment(lens, coming, { segmentSizeBytes });
  const known = new Set(index.transactions.map((each) => each.lsn));
  const partial = index.folded.filter((each) => each.partial);
  const isPartial = (xid: number): boolean =>
    partial.some(({ lowestXid, highestXid }) => ((xid - lowestXid) | 0) >= 0 && ((highestXid - xid) | 0) >= 0);
  // Others that were folded began in this segment too, so nothing of them is missing here.
  const more = again.transactions
    .filter((each) => !known.has(each.lsn))
    .map((each) => Object.assign(each, { partial: isPartial(each.xid) }));
  const transactions = [...index.transactions, ...more].toSorted((one, other) => (one.lsn < other.lsn ? -1 : 1));
  return { ...index, transactions, folded: [] };
}
