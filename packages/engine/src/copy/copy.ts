/** Copies a repository or a part of it to another place. @packageDocumentation */
import { KeyframeError, parseWalFileName, segmentNumberOf, type Store } from '@keyframe/contracts';
import {
  type BackupRecord,
  type CheckObject,
  type CopyReport,
  copyRepository,
  type CopyScope,
  type EpochArchive,
  type Repository,
} from '@keyframe/repository';
import { findBackup } from '../catalogue.ts';
import type { StageOptions } from '../events.ts';

/** The two places. */
export interface CopyStageContext {
  readonly repository: Repository;
  readonly from: Store;
  readonly to: Store;
  readonly check: CheckObject;
}

/** What is copied; both left out: everything. */
export interface CopyRequest {
  readonly cluster?: string | undefined;
  /** Label of a backup of that cluster. */
  readonly backup?: string | undefined;
}

/**
 * Copies; run again, it goes on, and brings over what is new.
 * @throws {KeyframeError} CONFLICT, CORRUPT, REPOSITORY_MISSING, BACKUP_NOT_FOUND, BACKUP_WAL_MISSING
 */
export async function copy(
  { repository, from, to, check }: CopyStageContext,
  request: CopyRequest,
  options: StageOptions = {},
): Promise<CopyReport> {
  const { signal, onEvent } = options;
  const scope = await scopeOf(repository, request, options);
  return copyRepository({ from, to, check }, scope, {
    signal,
    onProgress: ({ bytes }) => onEvent?.({ kind: 'bytes', phase: 'copy', doneBytes: bytes, totalBytes: undefined }),
  });
}

async function scopeOf(
  repository: Repository,
  { cluster, backup: label }: CopyRequest,
  options: StageOptions,
): Promise<CopyScope> {
  if (cluster === undefined) return {};
  const known = await repository.clusters(options);
  if (!known.includes(cluster))
    throw new KeyframeError('INVALID_OPTION', `the repository holds no cluster ${JSON.stringify(cluster)}`, {
      hint: `Name one of ${known.join(', ') || 'none: it is empty'} with --cluster.`,
    });
  if (label === undefined) return { cluster };
  const { archive, record } = await findBackup(repository.cluster(cluster), label, options);
  const manifest = await archive.backups.manifest(record, options);
  await assertWal(archive, record, options);
  return {
    cluster,
    backup: {
      epoch: archive.epoch.number,
      label: record.label,
      packs: new Set(manifest.packs().map(({ key }) => key)),
      needs: (name) => isNeeded(record, name),
    },
  };
}

/** Every history file, which is small, and the segments by which the backup gets consistent. */
function isNeeded(
  { startLsn, stopLsn, timeline, stopTimeline, walSegmentSizeBytes }: BackupRecord,
  name: string,
): boolean {
  const file = parseWalFileName(name);
  if (file?.kind === 'history') return true;
  if (file?.kind !== 'segment' || (file.timeline !== timeline && file.timeline !== stopTimeline)) return false;
  const size = BigInt(walSegmentSizeBytes);
  const number = segmentNumberOf(file, walSegmentSizeBytes);
  return number >= startLsn / size && number <= (stopLsn - 1n) / size;
}

async function assertWal(archive: EpochArchive, record: BackupRecord, options: StageOptions): Promise<void> {
  const { startLsn, stopLsn, stopTimeline, walSegmentSizeBytes } = record;
  const inventory = await archive.wal.inventory({ ...options, segmentSizeBytes: walSegmentSizeBytes });
  const last = (stopLsn - 1n) / BigInt(walSegmentSizeBytes);
  const first = startLsn / BigInt(walSegmentSizeBytes);
  const ranges = inventory.ranges(stopTimeline);
  if (ranges.some((range) => range.last >= last && range.first <= last) && first <= last) return;
  throw new KeyframeError('BACKUP_WAL_MISSING', `the WAL of backup ${record.label} is not in the archive`, {
    hint: 'Run `keyframe wal status`; a backup without its WAL cannot be restored, so it is not copied.',
    details: { label: record.label },
  });
}
