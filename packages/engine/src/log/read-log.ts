/** The readable history of a cluster: who did what when, as its WAL tells. @packageDocumentation */
import type { Lsn, TimelineId } from '@keyframe/contracts';
import type { TimelineHistory } from '@keyframe/postgres';
import type { BackupRecord, EpochArchive, WalIndexCache, WalInventory } from '@keyframe/repository';
import type { SegmentIndex } from '@keyframe/wal';
import { readHistories } from '../archive/histories.ts';
import { type StageOptions, warnOf } from '../events.ts';
import { chooseTimeline } from '../recovery/choose-timeline.ts';
import { EntryReader } from './entries.ts';
import { entryFilter, type LogFilter } from './filter.ts';
import { crossesRename, type HistoryRange, indexMissing, readHistory, unfolded } from './history-range.ts';
import type { LogEntry } from './log-entry.ts';

export interface LogRequest extends LogFilter {
  /** Default: the newest. */
  readonly timeline?: TimelineId | undefined;
  /** The newest so many. Default 200. */
  readonly limit?: number | undefined;
  /** Transactions that are alike one by one, too. */
  readonly each?: boolean | undefined;
  readonly cache?: WalIndexCache | undefined;
}

export interface LogResult {
  readonly epoch: number;
  readonly timeline: TimelineId;
  readonly entries: readonly LogEntry[];
  /** Older ones that the limit left out. */
  readonly omitted: number;
  readonly segments: number;
  /** First and last byte of the WAL that was looked at. */
  readonly from: Lsn | undefined;
  readonly to: Lsn | undefined;
  /** Segments between them that are not indexed, or damaged. */
  readonly missingSegments: number;
}

const DEFAULT_LIMIT = 200;

/**
 * Reads the history along a timeline, after indexing what is not indexed yet.
 * @throws {KeyframeError} WRONG_TIMELINE, KEY_REQUIRED, INVALID_OPTION, CORRUPT, UNAVAILABLE
 */
export async function readLog(
  archive: EpochArchive,
  request: LogRequest,
  options: StageOptions = {},
): Promise<LogResult> {
  const wanted = entryFilter(request);
  const { limit = DEFAULT_LIMIT, since, until, cache } = request;
  const backups = await archive.backups.list({ ...options, onDamage: warnOf(options) });
  const segmentSizeBytes = backups.at(-1)?.walSegmentSizeBytes;
  const inventory = await archive.wal.inventory({ ...options, segmentSizeBytes });
  const histories = await readHistories(archive, inventory, options, request.timeline);
  const history = chooseTimeline(histories, inventory, request.timeline);
  const range = { archive, history, inventory, from: startOf(backups, since), since, until, cache };
  await indexMissing(range, options);
  return gather(range, request, { wanted, limit }, options);
}

/** From the last backup before the time on: what is older ended earlier. */
function startOf(backups: readonly BackupRecord[], since: bigint | undefined): Lsn | undefined {
  if (since === undefined) return undefined;
  return backups.findLast(({ stoppedAt }) => BigInt(Date.parse(stoppedAt)) * 1000n < since)?.startLsn;
}

async function gather(
  range: HistoryRange & { readonly history: TimelineHistory; readonly inventory: WalInventory },
  request: LogRequest,
  { wanted, limit }: { readonly wanted: (entry: LogEntry) => boolean; readonly limit: number },
  options: StageOptions,
): Promise<LogResult> {
  const reader = new EntryReader();
  let entries: LogEntry[] = [];
  let omitted = 0;
  const seen = { segments: 0, from: undefined as Lsn | undefined, to: undefined as Lsn | undefined, missing: 0 };
  const missing = (segments: number): void => {
    seen.missing += segments;
  };
  for await (const index of readHistory(range, options, missing)) {
    seen.segments += 1;
    seen.from ??= index.startLsn;
    seen.to = index.endLsn;
    const whole = mustUnfold(index, request) ? await unfolded(range, index, options) : index;
    entries.push(...reader.read(whole).filter(wanted));
    if (entries.length <= 2 * limit) continue;
    omitted += entries.length - limit;
    entries = entries.slice(-limit);
  }
  omitted += Math.max(0, entries.length - limit);
  return {
    epoch: range.archive.epoch.number,
    timeline: range.history.timeline,
    entries: entries.slice(-limit).map((entry) => reader.named(entry)),
    omitted,
    segments: seen.segments,
    from: seen.from,
    to: seen.to,
    missingSegments: seen.missing,
  };
}

function mustUnfold(index: SegmentIndex, { each, xid, since, until }: LogRequest): boolean {
  if (each === true || crossesRename(index)) return true;
  return index.folded.some(({ lowestXid, highestXid, firstTimeMicros, lastTimeMicros }) => {
    if (xid !== undefined) return ((xid - lowestXid) | 0) >= 0 && ((highestXid - xid) | 0) >= 0;
    // Some of them may lie outside.
    const cuts = (time: bigint | undefined): boolean =>
      time !== undefined && firstTimeMicros < time && time <= lastTimeMicros;
    return cuts(since) || cuts(until);
  });
}
