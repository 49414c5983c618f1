import { formatLsn } from '@keyframe/contracts';
import type { BackupRecord } from '@keyframe/engine';

/** One backup as `--json` shows it. */
export interface BackupReport extends Omit<
  BackupRecord,
  'startLsn' | 'stopLsn' | 'stopTimeline' | 'format' | 'backupLabel' | 'manifest'
> {
  readonly startLsn: string;
  readonly stopLsn: string;
}

/** A backup record as it is shown: LSNs as text, without what only Keyframe needs. */
export function describeBackup(record: BackupRecord): BackupReport {
  const { format: _format, backupLabel: _label, manifest: _manifest, stopTimeline: _timeline, ...shown } = record;
  return { ...shown, startLsn: formatLsn(record.startLsn), stopLsn: formatLsn(record.stopLsn) };
}

/** What a restore reads beyond what the backup needs, since it reads whole frames: `+3 %`. */
export function formatOverhead({ fragmentation }: Pick<BackupReport, 'fragmentation'>): string {
  if (fragmentation === undefined || fragmentation.liveBytes === 0) return '';
  const share = fragmentation.frameBytes / fragmentation.liveBytes - 1;
  return `+${Math.max(0, Math.round(share * 100))} %`;
}

/** Damaged pages in one line; `undefined` when there are none, or none were looked for. */
export function formatDamage({ damagedPageCount = 0, damagedPages = [] }: BackupReport): string | undefined {
  if (damagedPageCount === 0) return undefined;
  const [first] = damagedPages;
  const place = first === undefined ? '' : `, first page ${first.block} of ${first.relation ?? first.path}`;
  return `${damagedPageCount} damaged page${damagedPageCount === 1 ? '' : 's'}${place}`;
}
