/**
 * Takes a base backup of a running database cluster.
 *
 * Order for safety: intent, packs, manifest, then proof that every WAL segment from start to stop is in the repository,
 * and only then `backup.json`, which makes it a backup.
 * @see https://www.postgresql.org/docs/18/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP
 * @packageDocumentation
 */
import { hasCode, isKeyframeError, KeyframeError } from '@keyframe/contracts';
import type { ConnectionTarget } from '@keyframe/postgres';
import type { BackupRecord, ClusterHistory, EpochArchive, Lease, LeaseHolder, Repository } from '@keyframe/repository';
import type { ArchiveExpectation } from '../doctor/evidence.ts';
import { type StageOptions, warnOf } from '../events.ts';
import { createNudge } from '../server/nudge.ts';
import type { WantedType } from './choose-base.ts';
import { chooseReader } from './choose-reader.ts';
import { discardLeftovers } from './discard-leftovers.ts';
import { foretellArchiving } from './foretell-archiving.ts';
import { holderState } from './holder.ts';
import { openBase } from './open-base.ts';
import { connectSource } from './stream-reader.ts';
import { epochOf, readSource, type SourceFacts, timelineHistory } from './source-facts.ts';
import { type Attempt, Doubtful, writeBackup } from './write-backup.ts';
import { proveBase } from './wal-proof.ts';

/** What a backup needs from outside: the server, the repository, and who takes it. */
export interface BackupContext {
  readonly repository: Repository;
  readonly clusterName: string;
  readonly history: ClusterHistory;
  readonly target: ConnectionTarget;
  /** Where the server's files lie on this machine; needed to read them here. */
  readonly dataDirectory?: string | undefined;
  readonly holder: LeaseHolder;
  readonly isHolderAlive: (holder: LeaseHolder) => boolean | Promise<boolean>;
  readonly now: () => Date;
  /** How long the WAL up to the stop LSN may take to arrive, milliseconds. */
  readonly walTimeoutMs: number;
  /** What archive_command should be, to tell one that delivers elsewhere. */
  readonly archiving?: ArchiveExpectation | undefined;
  /** How long what a backup needs stays locked from its end on, milliseconds. Default: nothing is locked. */
  readonly immutableMs?: number | undefined;
  /** Name and version of the program, kept in the backup. */
  readonly tool: string;
}

/** How this backup is taken. */
export interface BackupInput {
  /** `fast` starts at once with an immediate checkpoint; `spread` is gentler and may wait minutes. */
  readonly checkpoint: 'fast' | 'spread';
  /** Default `auto`. */
  readonly type?: WantedType | undefined;
  /** From the server over the replication protocol, or from the files of this machine. Default `stream`. */
  readonly from?: 'stream' | 'local' | undefined;
  /** Reference content that the repository holds already. Default true. */
  readonly reuse?: boolean | undefined;
  /** Files read side by side, from this machine. Default 4. */
  readonly workers?: number | undefined;
  /** Memory for what is on its way to the store. Default 160 MiB. */
  readonly memoryBytes?: number | undefined;
  /** The server has another system identifier since a pg_upgrade: begin the next epoch of the cluster with it. */
  readonly newEpoch?: boolean | undefined;
  /** Limit of what is read, KiB per second, 32 to 1048576. */
  readonly maxRateKiB?: number | undefined;
}

/** A lease is renewed at a third of this, so two renewals may fail before another backup can take over. */
const LEASE_MS = 60_000;

type BackupOptions = StageOptions & { readonly signal: AbortSignal };

/**
 * Takes and publishes one backup.
 * @throws {KeyframeError} REPOSITORY_MISSING, LOCKED, WRONG_CLUSTER, SERVER_UNREACHABLE, SERVER_REFUSED, SERVER_ERROR, SERVER_UNSUPPORTED,
 * BACKUP_WAL_MISSING, NO_PARENT, INVALID_OPTION, UNAVAILABLE, ACCESS_DENIED, CORRUPT
 */
export async function takeBackup(
  context: BackupContext,
  input: BackupInput,
  options: StageOptions = {},
): Promise<BackupRecord> {
  checkInput(context, input);
  await context.repository.identity(options);
  const lease = await context.repository.lease(`${context.clusterName}/backup`, context.holder, {
    ttlMs: LEASE_MS,
    isHolderAlive: context.isHolderAlive,
    signal: options.signal,
  });
  const signal = options.signal === undefined ? lease.lost : AbortSignal.any([options.signal, lease.lost]);
  try {
    return await underLease(context, input, lease, { ...options, signal });
  } finally {
    await release(lease, options);
  }
}

function checkInput({ dataDirectory }: BackupContext, { type, from, reuse }: BackupInput): void {
  if (type === 'incremental' && reuse === false)
    throw new KeyframeError('INVALID_OPTION', 'an incremental backup reuses what the repository holds', {
      hint: 'Leave out `--no-reuse`, or take everything anew with `keyframe backup --type full --no-reuse`.',
    });
  if (from === 'local' && dataDirectory === undefined)
    throw new KeyframeError('INVALID_OPTION', 'reading files of this machine needs the data directory', {
      hint: 'Set source.dataDirectory of the cluster in the config file to what `show data_directory` prints.',
    });
}

/** A lease that cannot be given back ends by itself; what became of the backup is worth more than that. */
async function release(lease: Lease, options: StageOptions): Promise<void> {
  try {
    await lease.release();
  } catch (error) {
    if (!isKeyframeError(error)) throw error;
    warnOf(options)(error);
  }
}

async function underLease(
  context: BackupContext,
  input: BackupInput,
  lease: Lease,
  options: BackupOptions,
): Promise<BackupRecord> {
  const { source, archive, history } = await lookAt(context, input, options);
  const foretold = foretellArchiving(context, archive, options);
  foretold.catch(() => undefined); // Awaited before anything is copied, unless something else fails before.
  await discardLeftovers(archive, context.holder, holderState, options);
  const backups = await archive.backups.list({ ...options, onDamage: warnOf(options) });
  const question = { wanted: input.type ?? 'auto', reuse: input.reuse ?? true, backups, source, history };
  const { choice, base } = await openBase(question, archive, options);
  await foretold;
  if (choice.why !== undefined) tell(options, `taking a full backup: ${choice.why}`);
  return await increment({ context, input, lease, source, archive, history, choice, base }, options);
}

type Common = Omit<Attempt, 'reader' | 'proof'>;

/**
 * What can go wrong only with an increment ends in reading more, never in no backup: from the server's word on changed
 * blocks to page LSNs, and from these to content.
 */
async function increment(common: Common, options: BackupOptions): Promise<BackupRecord> {
  const { choice, source, input, archive, history, base } = common;
  const reader = chooseReader(input.from ?? 'stream', choice, source, base?.suspects.size);
  if (reader.why !== undefined) tell(options, `reading all pages: ${reader.why}`);
  if (reader.warning !== undefined) options.onEvent?.({ kind: 'warning', message: reader.warning });
  if (reader.method === 'stream-incremental') {
    try {
      return await writeBackup({ ...common, reader: reader.method, proof: undefined }, options);
    } catch (error) {
      // Where the base is scattered its frames are read and stored anew, which a host that only writes cannot do, and which
      // ends where one is damaged: all pages at hand, they are stored anew.
      if (!hasCode(error, 'INCREMENTAL_UNAVAILABLE', 'KEY_REQUIRED', 'KEY_WRONG', 'CORRUPT')) throw error;
      warnOf(options)(error);
      tell(options, 'reading all pages instead');
    }
  }
  const method = reader.method === 'local' ? 'local' : 'stream';
  const full = { ...common, reader: method, proof: undefined, choice: { ...choice, type: 'full' } } as const;
  if (choice.type === 'full' || choice.base === undefined) return await writeBackup(full, options);
  const { startLsn: from, walSegmentSizeBytes: segmentSizeBytes } = choice.base;
  // With checksums no page changes under its old LSN.
  const watch = { files: true, visible: !source.dataChecksums };
  const proven = await proveBase({ wal: archive.wal, history, from, segmentSizeBytes, watch }, options);
  if (typeof proven === 'string') {
    tell(options, `comparing everything by content: ${proven}`);
    return await writeBackup(full, options);
  }
  try {
    return await writeBackup({ ...common, reader: method, proof: proven }, options);
  } catch (error) {
    if (!(error instanceof Doubtful)) throw error;
    tell(options, `taking the backup again and in full: ${error.message}`);
    return await writeBackup(full, options);
  }
}

interface Seen {
  readonly source: SourceFacts;
  readonly archive: EpochArchive;
  readonly history: Awaited<ReturnType<typeof timelineHistory>>;
}

async function lookAt(context: BackupContext, input: BackupInput, options: BackupOptions): Promise<Seen> {
  await using connection = await connectSource(context.target, options);
  const { target, now } = context;
  const nudge = createNudge({ target, now: () => now().getTime(), signal: options.signal });
  const isStreamed = async (): Promise<boolean> => (await nudge.archiver()).isStreamed === true;
  const source = await readSource(connection, { ...options, isStreamed });
  const archive = await epochOf(context.history, source, { ...options, newEpoch: input.newEpoch ?? false });
  return { source, archive, history: await timelineHistory(connection, archive, source, options) };
}

function tell({ onEvent }: StageOptions, message: string): void {
  onEvent?.({ kind: 'phase', phase: 'choose', message });
}
