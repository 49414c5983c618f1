/**
 * Takes a full base backup of a running database cluster over the replication protocol.
 *
 * Order for safety: intent, packs, manifest, then proof that every WAL segment from start to stop is in the repository,
 * and only then `backup.json`, which makes it a backup.
 * @see https://www.postgresql.org/docs/18/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP
 * @packageDocumentation
 */
import { bytesOf } from '@keyframe/contracts/streams';
import { hasCode, isKeyframeError, KeyframeError, type TimelineId } from '@keyframe/contracts';
import { type ConnectionTarget, connectReplication, type ReplicationConnection } from '@keyframe/postgres';
import { clockSkew } from '../server/clock-skew.ts';
import { createNudge } from '../server/nudge.ts';
import type {
  BackupRecord,
  BackupWriter,
  ClusterHistory,
  EpochArchive,
  Lease,
  LeaseHolder,
  Repository,
} from '@keyframe/repository';
import { type StageOptions, warnOf } from '../events.ts';
import { createBackupSink } from './backup-sink.ts';
import { assertAllFilesArrived } from './check-manifest.ts';
import { discardLeftovers } from './discard-leftovers.ts';
import { holderState } from './holder.ts';
import { awaitWal } from './await-wal.ts';
import { bytesOfSetting } from './setting.ts';

/** What a backup needs from outside: the server, the repository, and who takes it. */
export interface BackupContext {
  readonly repository: Repository;
  readonly clusterName: string;
  readonly history: ClusterHistory;
  readonly target: ConnectionTarget;
  readonly holder: LeaseHolder;
  readonly isHolderAlive: (holder: LeaseHolder) => boolean | Promise<boolean>;
  readonly now: () => Date;
  /** How long the WAL up to the stop LSN may take to arrive, milliseconds. */
  readonly walTimeoutMs: number;
  /** Name and version of the program, kept in the backup. */
  readonly tool: string;
}

/** How this backup is taken. */
export interface BackupInput {
  /** `fast` starts at once with an immediate checkpoint; `spread` is gentler and may wait minutes. */
  readonly checkpoint: 'fast' | 'spread';
  /** The server has another system identifier since a pg_upgrade: begin the next epoch of the cluster with it. */
  readonly newEpoch?: boolean | undefined;
  /** Limit of what the server sends, KiB per second, 32 to 1048576. */
  readonly maxRateKiB?: number | undefined;
}

/** A lease is renewed at a third of this, so two renewals may fail before another backup can take over. */
const LEASE_MS = 60_000;

interface SourceFacts {
  readonly systemIdentifier: string;
  readonly postgresVersion: number;
  readonly timeline: TimelineId;
  readonly segmentSizeBytes: number;
  readonly dataChecksums: boolean;
}

/**
 * Takes and publishes one backup.
 * @throws {KeyframeError} REPOSITORY_MISSING, LOCKED, WRONG_CLUSTER, SERVER_UNREACHABLE, SERVER_REFUSED, SERVER_ERROR, SERVER_UNSUPPORTED,
 * BACKUP_WAL_MISSING, UNAVAILABLE, ACCESS_DENIED, CORRUPT
 */
export async function takeBackup(
  context: BackupContext,
  input: BackupInput,
  options: StageOptions = {},
): Promise<BackupRecord> {
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
  options: StageOptions & { signal: AbortSignal },
): Promise<BackupRecord> {
  const connection = await connectReplication(context.target, {
    signal: options.signal,
    // The server names each damaged page in a warning; its error at the end only says that there was one.
    onNotice: ({ severity, message, hint }) => {
      if (severity === 'WARNING') options.onEvent?.({ kind: 'warning', message: `the server warns: ${message}`, hint });
    },
  });
  try {
    const source = await readSource(connection, options);
    const archive = await epochOf(context, input, source, options);
    await pushHistory(connection, archive, source, options);
    await discardLeftovers(archive, context.holder, holderState, options);
    const writer = await archive.backups.begin(
      { type: 'full', method: 'stream', holder: context.holder, tool: context.tool },
      options,
    );
    try {
      return await writeBackup(context, input, { connection, source, archive, writer, lease }, options);
    } catch (error) {
      await writer.abandon(error);
      throw error;
    }
  } finally {
    await connection.close();
  }
}

interface Running {
  readonly connection: ReplicationConnection;
  readonly source: SourceFacts;
  readonly archive: EpochArchive;
  readonly writer: BackupWriter;
  readonly lease: Lease;
}

async function writeBackup(
  context: BackupContext,
  input: BackupInput,
  running: Running,
  options: StageOptions & { signal: AbortSignal },
): Promise<BackupRecord> {
  const { connection, source, archive, writer, lease } = running;
  options.onEvent?.({ kind: 'phase', phase: 'checkpoint', message: `waiting for a ${input.checkpoint} checkpoint` });
  const now = (): number => context.now().getTime();
  const startedMs = now();
  const received = createBackupSink(writer, now, options.onEvent);
  const result = await connection.baseBackup(
    {
      label: `keyframe ${writer.label}`,
      checkpoint: input.checkpoint,
      signal: options.signal,
      ...(input.maxRateKiB === undefined ? {} : { maxRateKiB: input.maxRateKiB }),
    },
    received.sink,
  );
  const facts = received.facts();
  assertAllFilesArrived(result.manifest, facts.files);
  if (result.stopTimeline !== facts.timeline) throw promoted(facts.timeline, result.stopTimeline);
  const skewMs = (await clockSkew(context.target, { now, signal: options.signal })) ?? facts.clockSkewMs;
  const prepared = await writer.finish({
    postgresVersion: source.postgresVersion,
    walSegmentSizeBytes: source.segmentSizeBytes,
    dataChecksums: source.dataChecksums,
    timeline: facts.timeline,
    startLsn: facts.startLsn,
    backupLabel: facts.backupLabel,
    tablespaces: facts.tablespaces,
    startedAt: new Date(startedMs + skewMs).toISOString(),
    stoppedAt: new Date(now() + skewMs).toISOString(),
    stopLsn: result.stopLsn,
    stopTimeline: result.stopTimeline,
    serverManifest: result.manifest,
  });
  await awaitWal(
    {
      wal: archive.wal,
      nudge: createNudge({
        target: context.target,
        now,
        signal: options.signal,
      }),
      timeoutMs: context.walTimeoutMs,
    },
    { timeline: facts.timeline, from: facts.startLsn, to: result.stopLsn, segmentSizeBytes: source.segmentSizeBytes },
    options,
  );
  await lease.renew();
  return writer.publish(prepared);
}

function promoted(before: TimelineId, after: TimelineId): KeyframeError {
  return new KeyframeError('SERVER_ERROR', `the server went from timeline ${before} to ${after} during the backup`, {
    hint: 'Run `keyframe backup` again: a promotion makes the running backup invalid.',
  });
}

async function readSource(connection: ReplicationConnection, options: StageOptions): Promise<SourceFacts> {
  const version = connection.versionNumber;
  if (version < 140_000)
    throw new KeyframeError('SERVER_UNSUPPORTED', `PostgreSQL ${Math.floor(version / 10_000)} is not supported`, {
      hint: 'Keyframe backs up PostgreSQL 14 to 18; `keyframe doctor` shows what it found.',
    });
  const { systemIdentifier, timeline } = await connection.identifySystem(options);
  const archiveMode = await connection.show('archive_mode', options);
  if (archiveMode === 'off')
    throw new KeyframeError(
      'SERVER_UNSUPPORTED',
      'archive_mode is off, so the WAL this backup needs would not be kept',
      {
        hint: 'Run `keyframe setup`: it prints archive_mode and archive_command; then restart PostgreSQL.',
      },
    );
  return {
    systemIdentifier,
    timeline,
    postgresVersion: version,
    segmentSizeBytes: bytesOfSetting('wal_segment_size', await connection.show('wal_segment_size', options)),
    dataChecksums: (await connection.show('data_checksums', options)) === 'on',
  };
}

async function epochOf(
  context: BackupContext,
  { newEpoch = false }: BackupInput,
  source: SourceFacts,
  options: StageOptions,
): Promise<EpochArchive> {
  const { systemIdentifier, postgresVersion } = source;
  return context.history.find(systemIdentifier, options).catch((error: unknown) => {
    const mayBegin = hasCode(error, 'NOT_FOUND') || (newEpoch && hasCode(error, 'WRONG_CLUSTER'));
    if (!mayBegin) throw error;
    return context.history.create({ systemIdentifier, postgresVersion }, { ...options, next: newEpoch });
  });
}

/** Recovery reads the history file of the backup's own timeline; a cluster promoted long ago may never have offered it. */
async function pushHistory(
  connection: ReplicationConnection,
  archive: EpochArchive,
  { timeline, systemIdentifier }: SourceFacts,
  options: StageOptions,
): Promise<void> {
  if (timeline === 1) return;
  const { name, content } = await connection.timelineHistory(timeline, options);
  await archive.wal.put(
    { name, content: bytesOf(content), facts: { systemIdentifier, timeline, segmentSizeBytes: undefined } },
    options,
  );
}
