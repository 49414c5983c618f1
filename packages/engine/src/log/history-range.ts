/** The indexes of the WAL along a timeline's history. @packageDocumentation */
import { type Abortable, hasCode, type Lsn, lsn } from '@keyframe/contracts';
import { pathOf, timelineAt, type TimelineHistory } from '@keyframe/postgres';
import type { EpochArchive, SegmentSummary, WalIndexCache, WalInventory } from '@keyframe/repository';
import { createWalLens, decodeNotes, type SegmentIndex } from '@keyframe/wal';
import { type StageOptions, warnOf } from '../events.ts';
import { indexWal } from '../lens/index-wal.ts';
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
  const onProgress = ({ segments, total, name }: { segments: number; total: number; name: string }): void =>
    options.onEvent?.({ kind: 'index', done: segments, total, segment: name });
  const size = BigInt(inventory.segmentSizeBytes);
  try {
    for (const { timeline, end } of pathOf(history)) {
      // The segment with the fork is read on the child's side.
      const to = end === undefined ? undefined : lsn((end / size) * size);
      if (from !== undefined && to !== undefined && to <= from) continue;
      await indexWal(archive, { signal: options.signal, timeline, from, to, trackers, cache, onProgress });
    }
  } catch (error) {
    if (!hasCode(error, 'ACCESS_DENIED')) throw error;
    warnOf(options)(error);
  }
}

/** Indexes in the order of the WAL, those alone in which something ended in time. `missing` counts segments that it lacks. */
export async function* readHistory(
  { archive, history, inventory, from, since, until, cache }: HistoryRange,
  options: Abortable = {},
  missing: (segments: number) => void = () => undefined,
): AsyncGenerator<SegmentIndex> {
  const { segmentSizeBytes } = inventory;
  const wants = ({ times }: SegmentSummary): boolean =>
    times === undefined ||
    ((since === undefined || times.last >= since) && (until === undefined || times.first <= until));
  let end: Lsn | undefined;
  const onDamage = (): void => undefined;
  const read = readIndex(archive, { ...options, history, segmentSizeBytes, from, wants, cache, onDamage });
  for await (const { summary, index } of read) {
    const lacking = end === undefined ? 0n : (summary.startLsn - end) / BigInt(segmentSizeBytes);
    if (lacking > 0n) missing(Number(lacking));
    if (summary.fault !== undefined) missing(1);
    end = summary.endLsn;
    if (index !== undefined) yield index;
  }
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
  // Those that were folded began in this segment too, so nothing of them is missing here.
  const more = again.transactions
    .filter((each) => !known.has(each.lsn))
    .map((each) => Object.assign(each, { partial: false }));
  const transactions = [...index.transactions, ...more].toSorted((one, other) => (one.lsn < other.lsn ? -1 : 1));
  return { ...index, transactions, folded: [] };
}
