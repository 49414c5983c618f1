/**
 * Copies a repository or a part of it to another place: as it is, with its id and its keys, or into a repository that has
 * others. Which of the two the target decides: whether it is empty or a copy, or a repository of its own.
 * @packageDocumentation
 */
import {
  counted,
  type Abortable,
  KeyframeError,
  parseWalFileName,
  segmentNumberOf,
  type Store,
} from '@keyframe/contracts';
import {
  type BackupRecord,
  type CopyContext,
  copyRepository,
  type CopyScope,
  type EpochArchive,
  isSameRepository,
  planCopy,
  planTranslation,
  type Repository,
  revealsContent,
  translate,
  type TranslationContext,
  walIdentity,
} from '@keyframe/repository';
import { findBackup } from '../catalogue.ts';
import type { StageOptions } from '../events.ts';

/** The two places, and who copies. */
export interface CopyStageContext extends Omit<TranslationContext, 'from' | 'to'> {
  readonly repository: Repository;
  readonly target: Repository;
  readonly from: Store;
  readonly to: Store;
  /** What a store holds when it is looked at alone, with the keys of the source. */
  readonly repositoryOver: (store: Store) => Repository;
}

/** What is copied; both left out: everything. */
export interface CopyRequest {
  readonly cluster?: string | undefined;
  /** Label of a backup of that cluster. */
  readonly backup?: string | undefined;
  /** What is encrypted at the source may lie in plain at the target. Default false. */
  readonly plain?: boolean | undefined;
  /** Only tell what would be copied. Default false. */
  readonly dryRun?: boolean | undefined;
}

/** What a copy costs: it reads so much of the source, and writes about as much. */
export interface CopyCost {
  readonly objects: number;
  readonly bytes: number;
}

/** What was done. */
export interface CopyOutcome {
  /** `as-is`: with id and keys of the source. `anew`: under those of the target. */
  readonly mode: 'as-is' | 'anew';
  readonly repositoryId: string;
  /** Told before it began. Of `anew` its objects are backups and WAL files. */
  readonly cost: CopyCost;
  readonly copied: number;
  readonly copiedBytes: number;
  /** Were there already, and are the same. */
  readonly present: number;
  /** Damaged at the target, and replaced; only `as-is`. */
  readonly repaired: number;
  /** Kinds of objects that cannot prove themselves: copied and compared as they are; only `as-is`. */
  readonly unproven: number;
  /** Backups that the target had and has expired: not brought again; only `anew`. */
  readonly expired: number;
}

/**
 * Copies; run again, it goes on, and brings over what is new.
 * @throws {KeyframeError} CONFLICT, CORRUPT, REPOSITORY_MISSING, BACKUP_NOT_FOUND, BACKUP_WAL_MISSING, INVALID_OPTION when
 * content would be revealed; KEY_REQUIRED, KEY_WRONG, LOCKED, SIGNATURE_INVALID
 */
export async function copy(
  context: CopyStageContext,
  request: CopyRequest,
  options: StageOptions = {},
): Promise<CopyOutcome> {
  const { repository, from, to } = context;
  // First of all: which repository the target is decides everything else.
  const isSame = await isSameRepository(from, to, options.signal);
  const scope = await scopeOf(repository, request, options);
  return isSame ? copyAsIs(context, scope, request, options) : copyAnew(context, scope, request, options);
}

const NOTHING = { copied: 0, copiedBytes: 0, present: 0, repaired: 0, unproven: 0, expired: 0 } as const;

async function copyAsIs(
  context: CopyStageContext,
  scope: CopyScope,
  { dryRun = false }: CopyRequest,
  options: StageOptions,
): Promise<CopyOutcome> {
  const { from, to, repositoryOver } = context;
  const { signal } = options;
  const objects: CopyContext = {
    from,
    to,
    check: (store, key, how) => repositoryOver(store).check(key, how),
    identify: (store, key, how: Abortable) => walIdentity(repositoryOver(store), key, how),
  };
  const cost = await planCopy(objects, scope, { signal });
  const { id: repositoryId } = await context.repository.identity(options);
  tell(options, `to copy as they are: ${counted(cost.objects, 'object')}, ${sizeOf(cost)}`);
  if (dryRun) return { mode: 'as-is', repositoryId, cost, ...NOTHING };
  const onBytes = progressOf(cost, options);
  const report = await copyRepository(objects, scope, { signal, onProgress: ({ bytes }) => onBytes(bytes) });
  return { mode: 'as-is', cost, ...report, expired: 0 };
}

async function copyAnew(
  context: CopyStageContext,
  scope: CopyScope,
  { dryRun = false, plain = false }: CopyRequest,
  options: StageOptions,
): Promise<CopyOutcome> {
  const { repository: from, target: to, holder, isHolderAlive, tool } = context;
  const translation: TranslationContext = { from, to, holder, isHolderAlive, tool };
  if (!plain && (await revealsContent(translation, options)))
    throw new KeyframeError('INVALID_OPTION', 'the source is encrypted and the target is not', {
      hint: 'Give the target keys with `keyframe key add --repository NAME`, or accept with --plain that whoever reads it can read the database.',
    });
  // Fails before anything is read where this host has no key to write with.
  await to.keys.encrypts(options);
  const plan = await planTranslation(translation, scope, options);
  const cost = { objects: plan.backups + plan.walFiles, bytes: plan.bytes };
  const what = `${counted(plan.backups, 'backup')} and ${counted(plan.walFiles, 'WAL file')}, ${sizeOf(cost)}`;
  tell(options, `${what}, are to be copied under the keys of the target`);
  const { id: repositoryId } = await to.identity(options);
  if (dryRun) return { mode: 'anew', repositoryId, cost, ...NOTHING, expired: plan.expired };
  const onBytes = progressOf(cost, options);
  const { copied, copiedBytes, present, expired } = await translate(translation, plan, {
    signal: options.signal,
    onProgress: ({ bytes }) => onBytes(bytes),
    onBackup: (label) => tell(options, `copying backup ${label}`),
  });
  return { mode: 'anew', repositoryId, cost, ...NOTHING, copied, copiedBytes, present, expired };
}

const sizeOf = ({ bytes }: CopyCost): string => `${(bytes / (1 << 20)).toFixed(1)} MiB`;

function tell({ onEvent }: StageOptions, message: string): void {
  onEvent?.({ kind: 'phase', phase: 'copy', message });
}

function progressOf({ bytes }: CopyCost, { onEvent }: StageOptions): (doneBytes: number) => void {
  return (doneBytes) => onEvent?.({ kind: 'bytes', phase: 'copy', doneBytes, totalBytes: Math.max(bytes, doneBytes) });
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
