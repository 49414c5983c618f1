import { formatLsn, type TimelineId } from '@keyframe/contracts';
import type { Action } from '@keyframe/wal';
import { formatMicros } from '../target/index.ts';
import { describeEntry } from './describe-entry.ts';
import type { LogEntry, TableRows } from './log-entry.ts';
import type { LogResult } from './read-log.ts';

/** What the figures leave out, said wherever they are shown. */
export const ROWS_COVER =
  'rows of permanent tables; those of unlogged and temporary tables, and rows that TRUNCATE and DROP take along, are not in the WAL';

/** An entry as `--json` shows it. */
export interface EntryReport {
  readonly kind: LogEntry['kind'];
  /** ISO 8601 in UTC, to the microsecond; of many the first. */
  readonly time: string;
  readonly xid: number;
  readonly lsn: string;
  readonly endLsn: string;
  readonly timeline: TimelineId;
  readonly outcome: LogEntry['outcome'];
  readonly prepared: boolean;
  readonly database: string | undefined;
  readonly subtransactions: readonly number[];
  /** Of many: how many, the last one's xid and time. */
  readonly count: number;
  readonly highestXid: number | undefined;
  readonly lastTime: string | undefined;
  /** In words, one for each thing it did; of many what each of them did. */
  readonly did: readonly string[];
  readonly tables: readonly TableRows[];
  readonly actions: readonly Action[];
  readonly suspicious: readonly string[];
  readonly partial: boolean;
}

/** The history as plain data. */
export interface LogReport {
  readonly epoch: number;
  readonly timeline: TimelineId;
  readonly entries: readonly EntryReport[];
  /** Earlier ones that were left out, and earlier segments that were not looked into, since there were enough. */
  readonly omitted: number;
  readonly passedSegments: number;
  readonly segments: number;
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly missingSegments: number;
  /** The WAL begins before its definitions are known: up to which LSN, and how many tables have no name. */
  readonly unnamed: { readonly before: string | undefined; readonly tables: number } | undefined;
  readonly rowsCover: string;
}

/** The history as plain data, LSNs and times as text. */
export function describeLog(result: LogResult): LogReport {
  const { epoch, timeline, omitted, passedSegments, segments, from, to, missingSegments, unnamed } = result;
  return {
    epoch,
    timeline,
    entries: result.entries.map(reportEntry),
    omitted,
    passedSegments,
    segments,
    from: from === undefined ? undefined : formatLsn(from),
    to: to === undefined ? undefined : formatLsn(to),
    missingSegments,
    unnamed: unnamed && { tables: unnamed.tables, before: unnamed.before && formatLsn(unnamed.before) },
    rowsCover: ROWS_COVER,
  };
}

/** An entry as plain data. */
export function reportEntry(entry: LogEntry): EntryReport {
  const { kind, xid, timeline, outcome, prepared, database, subtransactions, many } = entry;
  return {
    kind,
    time: formatMicros(entry.timeMicros),
    xid,
    lsn: formatLsn(entry.lsn),
    endLsn: formatLsn(entry.endLsn),
    timeline,
    outcome,
    prepared,
    database,
    subtransactions,
    count: many?.count ?? 1,
    highestXid: many?.highestXid,
    lastTime: many === undefined ? undefined : formatMicros(many.lastTimeMicros),
    did: describeEntry(entry),
    tables: entry.tables,
    actions: entry.actions,
    suspicious: entry.suspicious,
    partial: entry.partial,
  };
}
