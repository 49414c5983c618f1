/** One attempt at a backup, from its intent to its publication. @packageDocumentation */
import { KeyframeError, type Lsn, type TimelineId } from '@keyframe/contracts';
import { parseRelationPath, type TimelineHistory } from '@keyframe/postgres';
import type { WalFact } from '@keyframe/wal';
import type {
  BackupFacts,
  BackupMethod,
  BackupRecord,
  BackupWriter,
  BaseFiles,
  EpochArchive,
  InterruptedBackup,
  Lease,
} from '@keyframe/repository';
import type { StageOptions } from '../events.ts';
import { clockSkew } from '../server/clock-skew.ts';
import { createNudge } from '../server/nudge.ts';
import { awaitWal } from './await-wal.ts';
import type { BaseChoice } from './choose-base.ts';
import { Copy } from './copy.ts';
import type { DamagedPages } from './damaged-pages.ts';
import { readLocal } from './local-reader.ts';
import { nameRelations } from './name-relations.ts';
import { lockBackup } from './lock-backup.ts';
import { signHistory } from './sign-history.ts';
import { localPageReader, serverPageReader } from './page-reader.ts';
import type { ReadBackup, ReadCluster } from './reader.ts';
import { RelationChanges } from './relation-changes.ts';
import { findUnread } from './since-interrupted.ts';
import type { SourceFacts } from './source-facts.ts';
import { readChangedBlocks, readStream } from './stream-reader.ts';
import type { BackupContext, BackupInput } from './take-backup.ts';
import { type ProvenBase, WalProof } from './wal-proof.ts';

/** How one backup is tried. */
export interface Attempt {
  readonly context: BackupContext;
  readonly input: BackupInput;
  readonly lease: Lease;
  readonly source: SourceFacts;
  readonly archive: EpochArchive;
  /** Of the timeline that the server is on. */
  readonly history: TimelineHistory;
  readonly choice: BaseChoice;
  /** Files of the backup that was chosen. */
  readonly base: BaseFiles | undefined;
  readonly reader: BackupMethod;
  /** Given where page LSNs are taken at their word. */
  readonly proof: ProvenBase | undefined;
}

/** Pages were taken over from files that may not be the same any more. Never leaves the engine. */
export class Doubtful extends Error {}

type BackupOptions = StageOptions & { readonly signal: AbortSignal };

/** @throws {Doubtful} when the WAL of the copy makes a kept page doubtful; nothing is left of the attempt */
export async function writeBackup(attempt: Attempt, options: BackupOptions): Promise<BackupRecord> {
  const { context, input, archive, choice, reader, base } = attempt;
  const parent = choice.base === undefined ? {} : { parent: choice.base.label };
  const writer = await archive.backups.begin(
    { type: choice.type, method: reader, ...parent, holder: context.holder, tool: context.tool },
    { ...options, base, reuse: input.reuse ?? true, memoryBytes: input.memoryBytes },
  );
  const record = await published(attempt, writer, base, options).catch(async (error: unknown) => {
    await writer.abandon(error);
    throw error;
  });
  await signHistory(archive, options);
  await lockBackup(context, archive, record, options);
  return record;
}

async function published(
  attempt: Attempt,
  writer: BackupWriter,
  base: BaseFiles | undefined,
  options: BackupOptions,
): Promise<BackupRecord> {
  const { context, source, lease, proof } = attempt;
  const now = (): number => context.now().getTime();
  const startedMs = now();
  const pages =
    attempt.reader === 'local'
      ? localPageReader(context.dataDirectory ?? '')
      : serverPageReader(context.target, options);
  const changes = proof?.changes ?? new RelationChanges();
  const copy = new Copy({ writer, source, base, proof: proof?.wal, changes, readAgain: pages.read }, options);
  let facts: ReadBackup;
  try {
    facts = await read(attempt, copy, options);
  } finally {
    await pages.close();
  }
  if (facts.stopTimeline !== facts.timeline) throw promoted(facts.timeline, facts.stopTimeline);
  const stoppedMs = now();
  const clock = clockSkew(context.target, { now, signal: options.signal });
  clock.catch(() => undefined); // Awaited where its answer is needed, unless something else fails before.
  const { clockSkewMs, ...described } = facts;
  const isArchived = archived(attempt, facts, options);
  const damage = await damageOf(attempt, copy.damaged, facts, isArchived, options);
  // Before its manifest is there, from which `repository rebuild` would bring back what was withdrawn.
  if (proof !== undefined) {
    await isArchived();
    await assertUndoubted(proof, copy, { base: base?.record, stopLsn: facts.stopLsn }, options);
  }
  const describe = async (): Promise<BackupFacts> => {
    const skewMs = (await clock) ?? clockSkewMs;
    return {
      ...described,
      postgresVersion: source.postgresVersion,
      walSegmentSizeBytes: source.segmentSizeBytes,
      dataChecksums: source.dataChecksums,
      startedAt: new Date(startedMs + skewMs).toISOString(),
      stoppedAt: new Date(stoppedMs + skewMs).toISOString(),
      ...damage,
    };
  };
  const prepared = await writer.finish(describe());
  await isArchived();
  await lease.renew();
  const record = await writer.publish(prepared);
  for (const label of writer.takenOver)
    options.onEvent?.({
      kind: 'phase',
      phase: 'publish',
      message: `took over content that backup ${label} had stored when it was interrupted`,
    });
  return record;
}

/** The files were read by now: what happened to them meanwhile must leave what was kept as it is. */
async function assertUndoubted(
  proof: ProvenBase,
  copy: Copy,
  { base, stopLsn }: { readonly base: BackupRecord | undefined; readonly stopLsn: Lsn },
  options: BackupOptions,
): Promise<void> {
  // Pages of the base are from any time up to its stop: a standby that is behind it would be given pages from its future.
  if (base !== undefined && stopLsn < base.stopLsn)
    throw new Doubtful(`the server is behind the end of backup ${base.label}`);
  let doubtful = false;
  await proof.wal.readOn(stopLsn, (fact) => (doubtful ||= copy.kept.isDoubtful(fact)), options);
  if (proof.wal.broken !== undefined) throw new Doubtful(proof.wal.broken);
  if (doubtful) throw new Doubtful('files it builds on were created anew while it ran');
}

function read(attempt: Attempt, copy: Copy, options: BackupOptions): Promise<ReadBackup> {
  const { context, input, source } = attempt;
  options.onEvent?.({ kind: 'phase', phase: 'checkpoint', message: `waiting for a ${input.checkpoint} checkpoint` });
  const request = {
    target: context.target,
    copy,
    source,
    label: `keyframe ${copy.writer.label}`,
    checkpoint: input.checkpoint,
    maxRateKiB: input.maxRateKiB,
    now: () => context.now().getTime(),
  };
  return readerOf(attempt, copy.writer.interrupted, options)(request, options);
}

const DEFAULT_WORKERS = 4;

function readerOf(attempt: Attempt, interrupted: readonly InterruptedBackup[], options: BackupOptions): ReadCluster {
  const { context, input, reader, base, source, history, archive } = attempt;
  const { dataDirectory = '' } = context;
  if (reader === 'local')
    return readLocal({
      dataDirectory,
      workers: input.workers ?? DEFAULT_WORKERS,
      findUnread: (start) =>
        findUnread({ interrupted, source, history, start, wal: archive.wal, dataDirectory }, options),
    });
  return reader === 'stream-incremental' && base !== undefined ? readChangedBlocks(base) : readStream;
}

/** Waits for the WAL that the backup needs; the second call has nothing to wait for. */
function archived(
  { context, source, archive }: Attempt,
  facts: ReadBackup,
  options: BackupOptions,
): () => Promise<void> {
  const { timeline, startLsn: from, stopLsn: to } = facts;
  const nudge = createNudge({
    target: context.target,
    now: () => context.now().getTime(),
    expected: context.archiving,
    signal: options.signal,
  });
  let waiting: Promise<void> | undefined;
  return () => {
    waiting ??= awaitWal(
      { wal: archive.wal, nudge, timeoutMs: context.walTimeoutMs },
      { timeline, from, to, segmentSizeBytes: source.segmentSizeBytes },
      options,
    );
    return waiting;
  };
}

/** Damaged is what is damaged still when the backup has replayed its own WAL. */
async function damageOf(
  { context, source, archive, history }: Attempt,
  damaged: DamagedPages | undefined,
  { startLsn: from, stopLsn }: ReadBackup,
  isArchived: () => Promise<void>,
  options: BackupOptions,
): Promise<Pick<BackupRecord, 'damagedPages' | 'damagedPageCount'>> {
  if (damaged === undefined) return {};
  if (damaged.count > 0) {
    await isArchived();
    const blocks = damaged.list.flatMap(({ path, block }) => {
      const relation = parseRelationPath(path);
      return relation === undefined ? [] : [{ ...relation, block }];
    });
    const restored = new Set<string>();
    const { segmentSizeBytes } = source;
    const wal = new WalProof({ wal: archive.wal, history, from, segmentSizeBytes, watch: { blocks } });
    const see = (fact: WalFact): void => {
      if (fact.kind === 'block-restored')
        restored.add(`${fact.tablespace} ${fact.database} ${fact.relfilenode} ${fact.block}`);
    };
    await wal.readOn(stopLsn, see, options);
    damaged.forgive(({ path, block }) => {
      const relation = parseRelationPath(path);
      return restored.has(`${relation?.tablespace} ${relation?.database} ${relation?.relfilenode} ${block}`);
    });
    damaged.tell();
  }
  const damagedPages = await nameRelations(context.target, damaged.list, options);
  return { damagedPages, damagedPageCount: damaged.count };
}

function promoted(before: TimelineId, after: TimelineId): KeyframeError {
  return new KeyframeError('SERVER_ERROR', `the server went from timeline ${before} to ${after} during the backup`, {
    hint: 'Run `keyframe backup` again: a promotion makes the running backup invalid.',
  });
}
