/**
 * Reads the `backup_label` file of a base backup, and the backup history file of the same form.
 * @see build_backup_content() in PostgreSQL's src/backend/access/transam/xlogbackup.c (xlog.c before 15)
 * @packageDocumentation
 */
import { KeyframeError, type Lsn, parseLsn, type TimelineId } from '@keyframe/contracts';

/** The lines of a backup label. Times stay text: they carry the server's time zone abbreviation. */
export interface BackupLabel {
  readonly startLsn: Lsn;
  /** Name of the WAL segment that holds the start. */
  readonly startSegment: string;
  readonly checkpointLsn: Lsn;
  readonly timeline: TimelineId;
  readonly label: string;
  readonly startTime: string;
  /** `streamed` for BASE_BACKUP, also for pg_backup_start since 15. */
  readonly method: string;
  readonly from: 'primary' | 'standby';
  /** Only in backup history files. */
  readonly stopLsn: Lsn | undefined;
  readonly stopTime: string | undefined;
  /** Present in an incremental base backup (17+): it cannot be started by itself. */
  readonly incrementalFromLsn: Lsn | undefined;
}

const LOCATION = /^([0-9A-F]+\/[0-9A-F]+) \(file ([0-9A-F]{24})\)$/;

/** @throws {KeyframeError} CORRUPT when a line that every backup label has is missing or unreadable. */
export function parseBackupLabel(text: string): BackupLabel {
  const lines = new Map<string, string>();
  for (const line of text.split('\n')) {
    const colon = line.indexOf(': ');
    if (colon > 0) lines.set(line.slice(0, colon), line.slice(colon + 2).trimEnd());
  }
  const [, start, startSegment] = LOCATION.exec(required(lines, 'START WAL LOCATION')) ?? [];
  if (start === undefined || startSegment === undefined) throw unreadable('START WAL LOCATION');
  const stop = lines.get('STOP WAL LOCATION');
  const from = required(lines, 'BACKUP FROM');
  if (from !== 'primary' && from !== 'standby' && from !== 'master') throw unreadable('BACKUP FROM');
  const incrementalFrom = lines.get('INCREMENTAL FROM LSN');
  return {
    startLsn: position(start, 'START WAL LOCATION'),
    startSegment,
    checkpointLsn: position(required(lines, 'CHECKPOINT LOCATION'), 'CHECKPOINT LOCATION'),
    timeline: timelineOf(required(lines, 'START TIMELINE')),
    label: required(lines, 'LABEL'),
    startTime: required(lines, 'START TIME'),
    method: required(lines, 'BACKUP METHOD'),
    from: from === 'standby' ? 'standby' : 'primary',
    stopLsn: stop === undefined ? undefined : position(stop.split(' ')[0] ?? '', 'STOP WAL LOCATION'),
    stopTime: lines.get('STOP TIME'),
    incrementalFromLsn: incrementalFrom === undefined ? undefined : position(incrementalFrom, 'INCREMENTAL FROM LSN'),
  };
}

/**
 * The label of a full base backup, from that of an incremental one whose blocks have been put together with those of the
 * backups before it: PostgreSQL does not start from the other. Every other byte stays.
 * @see write_backup_label() in PostgreSQL's src/bin/pg_combinebackup/backup_label.c
 */
export function fullBackupLabel(label: Uint8Array): Buffer {
  // A label has the encoding of the database; byte by byte nothing of it is changed.
  const text = Buffer.from(label).toString('latin1');
  return Buffer.from(text.replace(/^INCREMENTAL FROM (?:LSN|TLI): .*\n/gm, ''), 'latin1');
}

function required(lines: ReadonlyMap<string, string>, name: string): string {
  const value = lines.get(name);
  if (value === undefined) throw unreadable(name);
  return value;
}

function position(text: string, name: string): Lsn {
  if (!/^[0-9A-F]{1,8}\/[0-9A-F]{1,8}$/.test(text)) throw unreadable(name);
  return parseLsn(text);
}

function timelineOf(text: string): TimelineId {
  if (!/^[1-9][0-9]*$/.test(text)) throw unreadable('START TIMELINE');
  return Number(text);
}

function unreadable(line: string): KeyframeError {
  return new KeyframeError('CORRUPT', `the backup label has no readable ${line} line`, {
    hint: 'Take another base backup with `keyframe backup`; a backup without its label must not be started.',
    details: { line },
  });
}
