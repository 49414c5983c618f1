/**
 * Archives one WAL file: archive_command's work.
 * PostgreSQL recycles a segment once the command reports success, so success is reported only for bytes proven stored.
 * @see https://www.postgresql.org/docs/18/continuous-archiving.html#BACKUP-ARCHIVING-WAL
 * @packageDocumentation
 */
import { hash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { type Abortable, hasCode, historyName, KeyframeError, type TimelineId } from '@keyframe/contracts';
import type { ClusterHistory, EpochArchive, WalObjectHeader } from '@keyframe/repository';
import { type OfferedWalFile, openWalFile } from './wal-file.ts';

/** The history that WAL files go into; the epoch follows from each file. */
export interface PushContext {
  readonly history: ClusterHistory;
  /** Filled and used by who pushes several files: an epoch never changes once it is there. */
  readonly archives?: Map<string, EpochArchive> | undefined;
  /** Likewise: a history file that is archived stays as it is. By epoch and name. */
  readonly timelines?: Map<string, WalObjectHeader> | undefined;
}

/** `already-archived`: PostgreSQL asked again after a crash, and the repository holds the same bytes. */
export type PushOutcome = 'archived' | 'already-archived';

/** What became of one WAL file. */
export interface PushReport {
  readonly file: string;
  readonly outcome: PushOutcome;
  readonly epoch: number;
  readonly systemIdentifier: string;
  readonly sizeBytes: number;
}

/**
 * Archives the WAL file at `path`. Idempotent; never replaces different bytes.
 * @throws {KeyframeError} WAL_INVALID, WAL_MISMATCH, WRONG_CLUSTER, WRONG_TIMELINE, CORRUPT, UNAVAILABLE, ACCESS_DENIED
 */
export async function pushWal(context: PushContext, path: string, options: Abortable = {}): Promise<PushReport> {
  const offered = await openWalFile(path);
  const { file, content, systemIdentifier } = offered;
  const archive = context.archives?.get(systemIdentifier) ?? (await archiveOf(context, offered, options));
  context.archives?.set(systemIdentifier, archive);
  await fenceTimeline(context, archive, offered, options);
  const outcome = await put(archive, offered, options);
  return { file: file.name, outcome, epoch: archive.epoch.number, systemIdentifier, sizeBytes: content.sizeBytes ?? 0 };
}

/** The first WAL of a cluster opens its first epoch; from then on only that system identifier may write there. */
async function archiveOf(context: PushContext, offered: OfferedWalFile, options: Abortable): Promise<EpochArchive> {
  const { systemIdentifier, postgresVersion } = offered;
  const find = (): Promise<EpochArchive> => context.history.find(systemIdentifier, options);
  try {
    return await find();
  } catch (error) {
    if (!hasCode(error, 'NOT_FOUND')) throw error;
  }
  return context.history.create({ systemIdentifier, postgresVersion }, options);
}

/**
 * A segment of a later timeline is accepted only once the repository knows that timeline's history, and only from a cluster
 * that has the same one: two clusters promoted to the same timeline id then collide here, not somewhere in their data.
 */
async function fenceTimeline(
  { timelines }: PushContext,
  archive: EpochArchive,
  offered: OfferedWalFile,
  options: Abortable,
): Promise<void> {
  const { file, path } = offered;
  if (file.kind === 'history' || file.timeline === 1) return;
  const history = historyName(file.timeline);
  const beside = join(dirname(path), history);
  const own = await readFile(beside).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined;
    throw error;
  });
  const place = `${archive.epoch.number} ${history}`;
  const known = timelines?.get(place) ?? (await archive.wal.header(history, options));
  if (known !== undefined) timelines?.set(place, known);
  if (known === undefined && own === undefined) throw unknownTimeline(file.name, file.timeline);
  // A cluster promoted before it had this repository never offers its history file again.
  if (known === undefined) await put(archive, await openWalFile(beside), options);
  // A standby that recovers from the archive may be without the file.
  else if (own !== undefined) {
    const identity = await archive.wal.identity(hash('sha256', own), known.generation, options);
    if (identity !== known.identity) throw otherBranch(file.name, file.timeline);
  }
}

function otherBranch(name: string, timeline: TimelineId): KeyframeError {
  return new KeyframeError(
    'WRONG_TIMELINE',
    `WAL file ${name} is of another timeline ${timeline} than the repository's: the history files differ`,
    {
      hint: 'Of two copies promoted to one timeline id only one may archive here: restore this one again, then run `keyframe adopt`.',
      details: { timeline },
    },
  );
}

function unknownTimeline(name: string, timeline: TimelineId): KeyframeError {
  return new KeyframeError('WRONG_TIMELINE', `the repository does not know timeline ${timeline} of WAL file ${name}`, {
    hint: `Push ${historyName(timeline)} first; after a restore run \`keyframe adopt\` before archiving.`,
    details: { timeline },
  });
}

async function put(archive: EpochArchive, offered: OfferedWalFile, options: Abortable): Promise<PushOutcome> {
  const { file, content, reader, systemIdentifier, segmentSizeBytes } = offered;
  return archive.wal.put(
    { name: file.name, content, reader, facts: { systemIdentifier, timeline: file.timeline, segmentSizeBytes } },
    options,
  );
}
