/** The indexes of the WAL along a timeline's history. @packageDocumentation */
import { type Abortable, hasCode, type Lsn, lsn, type TimelineId } from '@keyframe/contracts';
import { pathOf, segmentTimelines, timelineAt, type TimelineHistory } from '@keyframe/postgres';
import type { BackupRecord, EpochArchive, WalIndexRef, WalInventory } from '@keyframe/repository';
import { createWalLens, decodeNotes, resumeCatalogue, type SegmentIndex } from '@keyframe/wal';
import { type StageOptions, warnOf } from '../events.ts';
import { coveringRefs } from '../lens/coverage.ts';
import { indexWal } from '../lens/index-wal.ts';
import { ask, readSegment } from '../lens/read-segment.ts';
import { beginTracker } from './begin-tracker.ts';

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
}

/**
 * Indexes what of the range is not indexed yet.
 * @throws {KeyframeError} KEY_REQUIRED, UNAVAILABLE
 */
export async function indexMissing(range: HistoryRange, options: StageOptions): Promise<void> {
  const { archive, history, inventory, from } = range;
  const trackers = {
    begin: (backup: BackupRecord) => beginTracker(archive, backup, options),
    resume: resumeCatalogue,
  };
  const onProgress = ({ segments, total, name }: { segments: number; total: number; name: string }): void =>
    options.onEvent?.({ kind: 'index', done: segments, total, segment: name });
  const size = BigInt(inventory.segmentSizeBytes);
  try {
    for (const { timeline, end } of pathOf(history)) {
      // The segment with the fork is read on the child's side.
      const to = end === undefined ? undefined : lsn((end / size) * size);
      if (from !== undefined && to !== undefined && to <= from) continue;
      await indexWal(archive, { signal: options.signal, timeline, from, to, trackers, onProgress });
    }
  } catch (error) {
    if (!hasCode(error, 'ACCESS_DENIED')) throw error;
    warnOf(options)(error);
  }
}

/** Indexes in the order of the WAL. Segments that are not indexed are left out. */
export async function* readHistory(range: HistoryRange, options: Abortable = {}): AsyncGenerator<SegmentIndex> {
  const { archive, history, inventory, from } = range;
  const refs = await archive.index.list(options);
  const size = BigInt(inventory.segmentSizeBytes);
  const isOnPath = ({ startLsn, endLsn }: { startLsn: Lsn; endLsn: Lsn }, timeline: TimelineId): boolean =>
    (from === undefined || endLsn > from) &&
    segmentTimelines(history, startLsn / size, inventory.segmentSizeBytes)[0] === timeline;
  let next = 0n;
  for (const { timeline } of pathOf(history))
    for (const ref of coveringRefs(refs, timeline)) {
      if (from !== undefined && ref.endLsn <= from) continue;
      for (const index of await segmentsOf(range, ref, (segment) => isOnPath(segment, timeline), options)) {
        if (index.startLsn < next) continue;
        next = index.endLsn;
        yield index;
      }
    }
}

async function segmentsOf(
  { archive, since, until }: HistoryRange,
  ref: WalIndexRef,
  isOnPath: (segment: { startLsn: Lsn; endLsn: Lsn }) => boolean,
  options: Abortable,
): Promise<SegmentIndex[]> {
  const opened = await archive.index.open(ref, options);
  if (opened === undefined) return [];
  return opened.details((summary) => {
    if (!isOnPath(summary)) return false;
    const { times } = summary;
    if (times === undefined) return true;
    return (since === undefined || times.last >= since) && (until === undefined || times.first <= until);
  });
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
