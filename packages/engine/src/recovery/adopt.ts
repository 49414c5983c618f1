/**
 * Makes a restored and promoted database cluster the continuation of its origin's history.
 *
 * A restore switches archiving off, so a drill or a test copy never writes to the repository it came from. Adopting reserves the
 * new timeline id by creating its history file first: of two copies promoted to the same timeline only one can be adopted.
 * @packageDocumentation
 */
import { access, readdir, readFile, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type Abortable,
  formatLsn,
  hasCode,
  historyName,
  KeyframeError,
  parseWalFileName,
  segmentName,
  segmentNumberOf,
} from '@keyframe/contracts';
import {
  isRunning,
  parseConfig,
  parseTimelineHistory,
  quoteForCommandSetting,
  readControlFile,
  rewriteAutoConf,
  type TimelineHistory,
} from '@keyframe/postgres';
import type { EpochArchive, ClusterHistory } from '@keyframe/repository';
import { openWalFile, type OfferedWalFile } from '../archive/wal-file.ts';
import { adoptionOf, writeLike } from './adoption-id.ts';
import { syncDirectory } from './target-directory.ts';

/** The history that is continued, and how the cluster will archive to it. */
export interface AdoptContext {
  readonly history: ClusterHistory;
  /** The words of archive_command, ending in `%p`. */
  readonly archiveCommand: readonly string[];
}

/** What adopting did, and what is left to do. */
export interface AdoptReport {
  readonly systemIdentifier: string;
  readonly timeline: number;
  readonly forkedFrom: number;
  readonly forkedAt: string;
  /** `already-adopted`: the repository knew this timeline with this very history. */
  readonly outcome: 'adopted' | 'already-adopted';
  /** Segments of the new timeline that were written before archiving was on, and are in the repository now. */
  readonly pushed: readonly string[];
  /** First segment of the new timeline that PostgreSQL has already removed: moments up to the next base backup are lost. */
  readonly gapFrom: string | undefined;
  /** The server runs and was started before archiving was on. */
  readonly needsRestart: boolean;
}

/**
 * Adopts the cluster in `dataDirectory`. Idempotent: run it again after the restart and it pushes what was completed in between.
 * @throws {KeyframeError} WRONG_CLUSTER, WRONG_TIMELINE, TARGET_DIRECTORY, ACCESS_DENIED, UNAVAILABLE
 */
export async function adopt(
  context: AdoptContext,
  dataDirectory: string,
  options: Abortable = {},
): Promise<AdoptReport> {
  const { control, segmentSizeBytes } = await readCluster(dataDirectory);
  const history = await ownHistory(dataDirectory, control.timeline);
  await refuseUnforked(dataDirectory, history);
  const archive = await context.history.find(control.systemIdentifier, options);
  const walDirectory = join(dataDirectory, 'pg_wal');
  const outcome = await reserve(archive, walDirectory, history, options);
  const { pushed, gapFrom } = await pushWritten(archive, walDirectory, history, segmentSizeBytes, options);
  await switchArchivingOn(dataDirectory, context.archiveCommand, control.postgresMajor);
  const fork = history.ancestors.at(-1);
  return {
    systemIdentifier: control.systemIdentifier,
    timeline: history.timeline,
    forkedFrom: fork?.timeline ?? 0,
    forkedAt: fork === undefined ? '0/0' : formatLsn(fork.end),
    outcome: outcome === 'archived' ? 'adopted' : 'already-adopted',
    pushed,
    gapFrom,
    needsRestart: await runsWithoutArchiving(dataDirectory),
  };
}

async function readCluster(dataDirectory: string) {
  const bytes = await readFile(join(dataDirectory, 'global', 'pg_control')).catch((cause: unknown) => {
    throw new KeyframeError('TARGET_DIRECTORY', `${dataDirectory} is not a data directory this user can read`, {
      cause,
      hint: 'Give the restored data directory with --data-directory, as the user that owns it.',
    });
  });
  for (const signal of ['recovery.signal', 'standby.signal'])
    if (await exists(join(dataDirectory, signal)))
      throw new KeyframeError(
        'TARGET_DIRECTORY',
        `the database cluster in ${dataDirectory} is still in recovery (${signal})`,
        {
          hint: 'Start it and let it reach its target, promote it with `pg_ctl promote`, then run `keyframe adopt` again.',
        },
      );
  const control = readControlFile(bytes);
  // Between the end of the signal file and the new timeline PostgreSQL asks restore_command once more, which takes a while.
  if (IN_RECOVERY.has(control.state))
    throw new KeyframeError(
      'TARGET_DIRECTORY',
      `the database cluster in ${dataDirectory} has not finished its recovery (${control.state})`,
      { hint: 'Wait until it accepts writes, then run `keyframe adopt` again.' },
    );
  return { control, segmentSizeBytes: control.walSegmentSizeBytes };
}

const IN_RECOVERY: ReadonlySet<string> = new Set(['starting up', 'in archive recovery', 'shut down in recovery']);

/**
 * A server that is stopped in that very moment comes back without the signal file and goes on along the timeline that it was
 * recovered along: its WAL would get the names of the WAL that is archived.
 * @throws {KeyframeError} WRONG_TIMELINE
 */
async function refuseUnforked(dataDirectory: string, { timeline }: TimelineHistory): Promise<void> {
  const settings = parseConfig(await readFile(autoConfOf(dataDirectory), 'utf8'));
  const along = Number(settings.findLast(({ name }) => name === 'recovery_target_timeline')?.value);
  if (Number.isNaN(along) || timeline > along) return;
  throw new KeyframeError(
    'WRONG_TIMELINE',
    `the database cluster in ${dataDirectory} goes on along timeline ${along}, along which it was recovered: it was stopped before it began its own`,
    {
      hint: 'Restore it again with `keyframe restore`; never let this one archive.',
      details: { timeline: along },
    },
  );
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** The newest history file in pg_wal that continues the control file's timeline: right after a promotion pg_control lags behind. */
async function ownHistory(dataDirectory: string, timeline: number): Promise<TimelineHistory> {
  const directory = join(dataDirectory, 'pg_wal');
  const files = (await readdir(directory)).flatMap((name) => {
    const file = parseWalFileName(name);
    return file?.kind === 'history' ? [file] : [];
  });
  const newest = files.toSorted((a, b) => b.timeline - a.timeline)[0];
  const history =
    newest === undefined
      ? undefined
      : parseTimelineHistory(newest.name, await readFile(join(directory, newest.name), 'utf8'));
  const continues =
    history?.timeline === timeline || history?.ancestors.some((ancestor) => ancestor.timeline === timeline);
  if (history !== undefined && continues === true) return history;
  throw new KeyframeError(
    'WRONG_TIMELINE',
    `the database cluster in ${dataDirectory} is on timeline ${timeline} and has no history file`,
    {
      hint: 'Only a restored and promoted cluster needs `keyframe adopt`; this one can archive as it is.',
    },
  );
}

async function reserve(
  archive: EpochArchive,
  walDirectory: string,
  { timeline }: TimelineHistory,
  options: Abortable,
): Promise<'archived' | 'already-archived'> {
  const path = join(walDirectory, historyName(timeline));
  const offered = await openWalFile(path);
  const adoption = await adoptionOf(walDirectory, timeline, path);
  return put(archive, offered, options, adoption).catch((error: unknown) => {
    if (!hasCode(error, 'WAL_MISMATCH')) throw error;
    throw new KeyframeError('WRONG_TIMELINE', `timeline ${timeline} is already taken by another recovery`, {
      cause: error,
      hint: 'Run `keyframe restore` again: it sees that timeline and gives this recovery the next id.',
      details: { timeline },
    });
  });
}

function put(
  archive: EpochArchive,
  offered: OfferedWalFile,
  options: Abortable,
  adoption?: string,
): Promise<'archived' | 'already-archived'> {
  const { file, content, systemIdentifier, segmentSizeBytes } = offered;
  const facts = { systemIdentifier, timeline: file.timeline, segmentSizeBytes };
  return archive.wal.put({ name: file.name, content, facts, adoption }, options);
}

/** While archiving was off no segment was marked ready. All but the newest are complete; the newest is archived when it is full. */
async function pushWritten(
  archive: EpochArchive,
  directory: string,
  history: TimelineHistory,
  segmentSizeBytes: number,
  options: Abortable,
): Promise<{ pushed: string[]; gapFrom: string | undefined }> {
  const written = await writtenSegments(directory, history.timeline, segmentSizeBytes);
  const complete = written.slice(0, -1);
  const pushed: string[] = [];
  for (const { offered } of complete)
    if ((await put(archive, offered, options)) === 'archived') pushed.push(offered.file.name);
  const inventory = await archive.wal.inventory(options);
  const first = BigInt(history.ancestors.at(-1)?.end ?? 0n) / BigInt(segmentSizeBytes);
  const last = written.at(-1)?.number ?? first;
  const held = inventory.ranges(history.timeline);
  for (let number = first; number < last; number += 1n)
    if (!held.some((range) => range.first <= number && number <= range.last))
      return { pushed, gapFrom: segmentName(history.timeline, number, segmentSizeBytes) };
  return { pushed, gapFrom: undefined };
}

async function writtenSegments(directory: string, timeline: number, segmentSizeBytes: number) {
  const found: { readonly offered: OfferedWalFile; readonly number: bigint }[] = [];
  for (const name of await readdir(directory)) {
    const file = parseWalFileName(name);
    if (file?.kind !== 'segment' || file.timeline !== timeline) continue;
    // A recycled segment waits under a future name with old pages: its header gives it away.
    const offered = await openWalFile(join(directory, name)).catch((error: unknown) => {
      if (!hasCode(error, 'WAL_INVALID')) throw error;
      return undefined;
    });
    if (offered !== undefined) found.push({ offered, number: segmentNumberOf(file, segmentSizeBytes) });
  }
  return found.toSorted((a, b) => (a.number < b.number ? -1 : 1));
}

async function switchArchivingOn(
  dataDirectory: string,
  archiveCommand: readonly string[],
  major: number | undefined,
): Promise<void> {
  const path = autoConfOf(dataDirectory);
  const before = await readFile(path);
  const after = rewriteAutoConf(
    before,
    [
      ['archive_mode', 'on'],
      ['archive_command', quoteForCommandSetting(archiveCommand)],
      // One in postgresql.conf would win over the command, and from 16 on be an error beside it. 14 does not know it.
      ...(major === undefined || major < 15 ? [] : [['archive_library', ''] as const]),
    ],
    { archiving: 'all' },
  );
  // Left alone when it says so already: its time then tells whether the server has read it.
  if (after.equals(before)) return;
  await writeLike(path, `${path}.keyframe-tmp`, after);
  await rename(`${path}.keyframe-tmp`, path);
  await syncDirectory(dataDirectory);
}

const autoConfOf = (dataDirectory: string): string => join(dataDirectory, 'postgresql.auto.conf');

/** PostgreSQL writes postmaster.pid while it starts and not again before it stops; only its start reads archive_mode. */
async function runsWithoutArchiving(dataDirectory: string): Promise<boolean> {
  if ((await isRunning(dataDirectory)) === undefined) return false;
  const started = await stat(join(dataDirectory, 'postmaster.pid'));
  return started.mtimeMs <= (await stat(autoConfOf(dataDirectory))).mtimeMs;
}
