import { formatLsn } from '@keyframe/contracts';
import type { BackupRecord } from '@keyframe/engine';

/** One backup as `--json` shows it. */
export interface BackupReport extends Omit<
  BackupRecord,
  'startLsn' | 'stopLsn' | 'stopTimeline' | 'format' | 'method' | 'backupLabel' | 'manifest'
> {
  readonly startLsn: string;
  readonly stopLsn: string;
}

/** A backup record as it is shown: LSNs as text, without what only Keyframe needs. */
export function describeBackup(record: BackupRecord): BackupReport {
  const {
    format: _format,
    method: _method,
    backupLabel: _label,
    manifest: _manifest,
    stopTimeline: _timeline,
    ...shown
  } = record;
  return { ...shown, startLsn: formatLsn(record.startLsn), stopLsn: formatLsn(record.stopLsn) };
}
