/** The readable history of a cluster: who did what when, as its WAL tells. @packageDocumentation */
import type { Lsn, TimelineId } from '@keyframe/contracts';
import { timelineAt, type TimelineHistory } from '@keyframe/postgres';
import type { BackupRecord, EpochArchive, WalIndexCache } from '@keyframe/repository';
import { readHistories } from '../archive/histories.ts';
import { type StageOptions, warnOf } from '../events.ts';
import { chooseTimeline } from '../recovery/choose-timeline.ts';
import type { LogFilter } from './filter.ts';
import { indexMissing } from './history-range.ts';
import type { LogEntry } from './log-entry.ts';
import { LogSearch } from './search.ts';

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
  /** Older ones that the limit left out, as far as they were looked at. */
  readonly omitted: number;
  /** Older segments in which there may be more, but which were not looked into: the limit was reached. */
  readonly passedSegments: number;
  readonly segments: number;
  /** First and last byte of the WAL that was looked at. */
  readonly from: Lsn | undefined;
  readonly to: Lsn | undefined;
  /** Segments between them that are not indexed, or damaged. */
  readonly missingSegments: number;
  /** Where the WAL begins before its definitions do: up to where (no backup at all: `undefined`), and tables without a name. */
  readonly unnamed: { readonly before: Lsn | undefined; readonly tables: number } | undefined;
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
  const { limit = DEFAULT_LIMIT, since, until, cache } = request;
  const backups = await archive.backups.list({ ...options, onDamage: warnOf(options) });
  const segmentSizeBytes = backups.at(-1)?.walSegmentSizeBytes;
  const inventory = await archive.wal.inventory({ ...options, segmentSizeBytes });
  const histories = await readHistories(archive, inventory, options, request.timeline);
  const history = chooseTimeline(histories, inventory, request.timeline);
  const range = { archive, history, inventory, from: startOf(backups, since), since, until, cache };
  const refs = await indexMissing(range, options);
  const search = new LogSearch({ ...range, refs }, request, options);
  await search.survey();
  const { entries, omitted, passedSegments } = await search.gather(limit);
  const { segments, from, to } = search;
  return {
    epoch: archive.epoch.number,
    timeline: history.timeline,
    entries,
    omitted,
    passedSegments,
    segments,
    from,
    to,
    missingSegments: search.missing,
    unnamed: unnamedOf(search, history, backups, BigInt(inventory.segmentSizeBytes)),
  };
}

/** Definitions are followed from the first backup on: of what was written before, names are known where files stayed. */
function unnamedOf(
  { from, unnamedTables }: LogSearch,
  history: TimelineHistory,
  backups: readonly BackupRecord[],
  segmentBytes: bigint,
): LogResult['unnamed'] {
  const own = backups.filter(({ timeline, startLsn }) => timelineAt(history, startLsn) === timeline);
  const [before] = own.map(({ startLsn }) => startLsn).toSorted((one, other) => (one < other ? -1 : 1));
  // Within the segment in which that backup began little can have been missed.
  const isCovered = before !== undefined && from !== undefined && before - (before % segmentBytes) <= from;
  if (from === undefined || (isCovered && unnamedTables === 0)) return undefined;
  return { before, tables: unnamedTables };
}

/** From the last backup before the time on: what is older ended earlier. */
function startOf(backups: readonly BackupRecord[], since: bigint | undefined): Lsn | undefined {
  if (since === undefined) return undefined;
  return backups.findLast(({ stoppedAt }) => BigInt(Date.parse(stoppedAt)) * 1000n < since)?.startLsn;
}
