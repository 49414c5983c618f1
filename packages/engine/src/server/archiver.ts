import { type Abortable, formatLsn, isKeyframeError } from '@keyframe/contracts';
import { connectSql, type ConnectionTarget, inspectServer } from '@keyframe/postgres';
import { type Backlog, measureBacklog, type WalSpace, walSpace } from './backlog.ts';
import { walFreeBytes } from './wal-space.ts';

/** The server's own view of archiving. The archive can be judged without it, so an unreachable server is an answer, not a fault. */
export type ArchiverStatus =
  | { readonly reachable: false; readonly reason: string }
  | {
      readonly reachable: true;
      /** How far WAL was written, in recovery replayed. */
      readonly currentLsn: string | undefined;
      readonly lastArchived: string | undefined;
      readonly lastArchivedAt: string | undefined;
      readonly lastArchivedAgeSeconds: number | undefined;
      readonly failing: boolean;
      readonly lastFailed: string | undefined;
      readonly lastFailedAt: string | undefined;
      /** WAL files marked ready and not archived yet; absent without the right to look. */
      readonly waiting: number | undefined;
      /** What waits and how it changes; absent when nothing waits. */
      readonly backlog: Backlog | undefined;
      /** Absent on another machine than the server's. */
      readonly walSpace: WalSpace | undefined;
    };

/** Asks the server how its archiver fares; tells too when the server cannot be asked. */
export async function readArchiver(
  target: ConnectionTarget,
  now: () => number,
  options: Abortable = {},
): Promise<ArchiverStatus> {
  try {
    const sql = await connectSql(target, options);
    try {
      const facts = await inspectServer(sql, { now, ...options });
      const { archiver, wal, walSegmentSizeBytes, dataDirectory, currentLsn } = facts;
      const waits = (wal.readyFiles ?? 0) > 0 && walSegmentSizeBytes !== undefined;
      const backlog = waits ? await measureBacklog(sql, walSegmentSizeBytes, options) : undefined;
      return {
        reachable: true,
        currentLsn: currentLsn === undefined ? undefined : formatLsn(currentLsn),
        lastArchived: archiver?.lastArchivedWal,
        lastArchivedAt: archiver?.lastArchivedTime,
        lastArchivedAgeSeconds: archiver?.lastArchivedAgeSeconds,
        failing: archiver?.failing ?? false,
        lastFailed: archiver?.lastFailedWal,
        lastFailedAt: archiver?.lastFailedTime,
        waiting: wal.readyFiles,
        backlog,
        walSpace: walSpace(await walFreeBytes(target, dataDirectory), wal, backlog),
      };
    } finally {
      await sql.close();
    }
  } catch (error) {
    if (!isKeyframeError(error)) throw error;
    return { reachable: false, reason: error.message };
  }
}
