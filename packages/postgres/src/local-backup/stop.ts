import { formatLsn, KeyframeError, type Lsn, parseLsn, type TimelineId } from '@keyframe/contracts';
import { parseBackupLabel } from '../control/backup-label.ts';
import type { SqlSession } from '../sql/session.ts';
import type { LocalBackupEnd, LocalBackupFile } from './types.ts';

interface StopRow {
  readonly lsn: string;
  readonly label: string;
  readonly map: string | null;
  readonly clock: string;
}

/** Where the backup began. */
interface StartPosition {
  readonly startLsn: Lsn;
  readonly timeline: TimelineId;
}

const FILE_MODE = 0o600;

/**
 * Ends the backup that the session holds. The label and the map come in the database's own encoding, in which PostgreSQL
 * would have written them: a path in them has the bytes that it has on disk.
 */
export async function stopBackup(sql: SqlSession, start: StartPosition, standby: boolean): Promise<LocalBackupEnd> {
  const call = sql.versionNumber >= 150_000 ? 'pg_backup_stop(false)' : 'pg_stop_backup(false, false)';
  const bytes = (column: string): string => `encode(convert_to(${column}, getdatabaseencoding()), 'base64')`;
  const [row] = await sql.query<StopRow>(
    `select lsn::text, ${bytes('labelfile')} as label, ${bytes('spcmapfile')} as map,
            floor(extract(epoch from clock_timestamp()))::text as clock
       from ${call}`,
  );
  if (row === undefined)
    throw new KeyframeError('SERVER_ERROR', 'the server ended the backup without a word', {
      hint: 'Run `keyframe backup` again.',
    });
  const label = Buffer.from(row.label, 'base64');
  const map = Buffer.from(row.map ?? '', 'base64');
  const written = parseBackupLabel(label.toString('latin1'));
  if (written.startLsn !== start.startLsn || written.timeline !== start.timeline)
    throw new KeyframeError(
      'SERVER_ERROR',
      `the backup began at ${formatLsn(start.startLsn)} on timeline ${start.timeline}, its label says ` +
        `${formatLsn(written.startLsn)} on ${written.timeline}`,
      { hint: 'Run `keyframe backup` again; a standby may have changed its timeline meanwhile.' },
    );
  const modifiedAtSeconds = Number(row.clock);
  return {
    stopLsn: parseLsn(row.lsn),
    stopTimeline: standby ? await standbyTimeline(sql, start.timeline) : start.timeline,
    files: [
      fileOf('backup_label', label, modifiedAtSeconds),
      ...(map.length === 0 ? [] : [fileOf('tablespace_map', map, modifiedAtSeconds)]),
    ],
  };
}

function fileOf(path: string, content: Buffer, modifiedAtSeconds: number): LocalBackupFile {
  return { entry: { path, type: 'file', mode: FILE_MODE, modifiedAtSeconds, sizeBytes: content.length }, content };
}

/** A standby's backup ends at its minimum recovery point, which may lie on a timeline that it followed since the start. */
async function standbyTimeline(sql: SqlSession, fallback: TimelineId): Promise<TimelineId> {
  const [row] = await sql.query<{ timeline: string }>(
    'select min_recovery_end_timeline::text as timeline from pg_control_recovery()',
  );
  const timeline = Number(row?.timeline ?? 0);
  return timeline === 0 ? fallback : timeline;
}
