/** The indexes of the WAL along a timeline's history. @packageDocumentation */
import { type Abortable, hasCode, type KeyframeError, type Lsn, lsn } from '@keyframe/contracts';
import { pathOf, timelineAt, type TimelineHistory } from '@keyframe/postgres';
import type { EpochArchive, SegmentSummary, WalIndexCache, WalIndexRef, WalInventory } from '@keyframe/repository';
import { createWalLens, decodeNotes, type SegmentIndex } from '@keyframe/wal';
import { type StageOptions, warnOf } from '../events.ts';
import { indexWal, mendIndex } from '../lens/index-wal.ts';
import { readIndex } from '../lens/read-index.ts';
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
  readonly cache?: WalIndexCache | undefined;
}

/**
 * Indexes what of the range is not indexed yet.
 * @throws {KeyframeError} KEY_REQUIRED, UNAVAILABLE
 */
export async function indexMissing(range: HistoryRange, options: StageOptions): Promise<void> {
  const { archive, history, inventory, from, cache } = range;
  const trackers = trackersOf(archive, options);
  const onDamage = tellDamage(options);
  const onProgress = ({ segments, total, name }: { segments: number; total: number; name: string }): void =>
    options.onEvent?.({ kind: 'index', done: segments, total, segment: name });
  const size = BigInt(inventory.segmentSizeBytes);
  try {
    for (const { timeline, end } of pathOf(history)) {
      // The segment with the fork is read on the child's side.
      const to = end === undefined ? undefined : lsn((end / size) * size);
      if (from !== undefined && to !== undefined && to <= from) continue;
      await indexWal(archive, { signal: options.signal, timeline, from, to, trackers, cache, onDamage, onProgress });
    }
  } catch (error) {
    if (!hasCode(error, 'ACCESS_DENIED')) throw error;
    warnOf(options)(error);
  }
}

/**
 * Indexes in the order of the WAL, those alone in which something ended in time. `missing` counts segments that it lacks.
 * What is damaged of the index is made anew.
 */
export async function* readHistory(
  range: HistoryRange,
  options: StageOptions = {},
  missing: (segments: number) => void = () => undefined,
): AsyncGenerator<SegmentIndex> {
  const { archive, history, inventory, from, since, until, cache } = range;
  const { segmentSizeBytes } = inventory;
  const size = BigInt(segmentSizeBytes);
  const wants = ({ times }: SegmentSummary): boolean =>
    times === undefined ||
    ((since === undefined || times.last >= since) && (until === undefined || times.first <= until));
  const { signal } = options;
  const onDamage = mending(range, options);
  const [start, end] = archivedSpan(range);
  let at = start;
  const lacking = (next: bigint): void => {
    if (next > at) missing(Number((next - at) / size));
  };
  const read = readIndex(archive, { signal, history, segmentSizeBytes, from, wants, cache, onDamage });
  for await (const { summary, index } of read) {
    lacking(summary.startLsn);
    if (summary.fault !== undefined) missing(1);
    at = summary.endLsn;
    if (index !== undefined) yield index;
  }
  lacking(end);
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
