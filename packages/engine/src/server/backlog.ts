/** What waits for the archiver, how fast that changes, and how long pg_wal's disk holds. @packageDocumentation */
import type { Abortable } from '@keyframe/contracts';
import type { ServerFacts, SqlSession } from '@keyframe/postgres';
import { pause } from '../pause.ts';

/** WAL that waits, and the rates at which it comes and goes, measured over some seconds. */
export interface Backlog {
  readonly files: number;
  readonly bytes: number;
  readonly archivedFilesPerSecond: number;
  readonly writtenBytesPerSecond: number;
  /** Until nothing waits; `undefined` while as much is written as is archived. */
  readonly secondsToCatchUp: number | undefined;
}

/** How long the server can go on if nothing is archived from now on. */
export interface WalSpace {
  readonly freeBytes: number;
  /** At the rate at which WAL is written; `undefined` when none is. */
  readonly hoursToFull: number | undefined;
}

/** One look at the archiver. */
export interface ArchiverSample {
  readonly atSeconds: number;
  readonly archived: number;
  /** Bytes of WAL ever written. */
  readonly written: number;
  readonly waiting: number;
}

const SAMPLE_MS = 2_000;

const LOOK = `select extract(epoch from clock_timestamp())::text as at,
    (select archived_count::text from pg_stat_archiver) as archived,
    (pg_wal_lsn_diff(case when pg_is_in_recovery() then pg_last_wal_replay_lsn() else pg_current_wal_lsn() end, '0/0'))::text as written,
    (select count(*)::text from pg_ls_archive_statusdir() where name like '%.ready') as waiting`;

/** Looks twice, two seconds apart. To be called only when something waits. @throws {KeyframeError} SERVER_ERROR */
export async function measureBacklog(
  sql: SqlSession,
  segmentSizeBytes: number,
  { signal }: Abortable,
): Promise<Backlog> {
  const first = await look(sql);
  await pause(SAMPLE_MS, signal);
  return backlogBetween(first, await look(sql), segmentSizeBytes);
}

/** What two looks at the archiver tell. */
export function backlogBetween(first: ArchiverSample, last: ArchiverSample, segmentSizeBytes: number): Backlog {
  const seconds = last.atSeconds - first.atSeconds;
  const archivedFilesPerSecond = (last.archived - first.archived) / seconds;
  const writtenBytesPerSecond = (last.written - first.written) / seconds;
  const shrinking = archivedFilesPerSecond - writtenBytesPerSecond / segmentSizeBytes;
  return {
    files: last.waiting,
    bytes: last.waiting * segmentSizeBytes,
    archivedFilesPerSecond,
    writtenBytesPerSecond,
    secondsToCatchUp: last.waiting === 0 ? 0 : shrinking > 0 ? last.waiting / shrinking : undefined,
  };
}

/** The rate just measured counts, else the average since the server's statistics were reset. */
export function walSpace(
  freeBytes: number | undefined,
  { bytesSinceReset, secondsSinceReset }: ServerFacts['wal'],
  backlog: Backlog | undefined,
): WalSpace | undefined {
  if (freeBytes === undefined) return undefined;
  const average =
    bytesSinceReset === undefined || secondsSinceReset === undefined || secondsSinceReset === 0
      ? undefined
      : bytesSinceReset / secondsSinceReset;
  const bytesPerSecond = Math.max(backlog?.writtenBytesPerSecond ?? 0, average ?? 0);
  return { freeBytes, hoursToFull: bytesPerSecond > 0 ? freeBytes / bytesPerSecond / 3600 : undefined };
}

async function look(sql: SqlSession): Promise<ArchiverSample> {
  const [row] = await sql.query<Readonly<Record<'at' | 'archived' | 'written' | 'waiting', string>>>(LOOK);
  return {
    atSeconds: Number(row?.at),
    archived: Number(row?.archived),
    written: Number(row?.written),
    waiting: Number(row?.waiting),
  };
}
