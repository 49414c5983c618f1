/**
 * Restores a planned recovery into a directory, ready to be started.
 *
 * Order for safety: marker, files, settings and signal, everything synced, then `global/pg_control` under its own name (PostgreSQL
 * does not start without it), then the marker goes. Killed anywhere before, the directory cannot be started and can be restored again.
 * @packageDocumentation
 */
import { mkdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { formatLsn, KeyframeError } from '@keyframe/contracts';
import { quoteForCommandSetting, recoverySettings, rewriteAutoConf } from '@keyframe/postgres';
import type { ManifestReader, ReadReport, RestoreSink } from '@keyframe/repository';
import type { OnEvent, StageOptions } from '../events.ts';
import { describeTarget } from '../target/index.ts';
import { placeForkCopies } from './fork-copies.ts';
import type { RecoveryPlan } from './plan.ts';
import { CONTROL_FILE, CONTROL_PENDING, type TablespaceDirectories } from './entry-places.ts';
import { createFileWriter, type FileWriter } from './restore-files.ts';
import { createReusingWriter, type RemovedName } from './reuse-files.ts';
import { writeStandIns } from './stand-in-configuration.ts';
import {
  checkSpace,
  checkTarget,
  isUnfinished,
  local,
  prepareTarget,
  syncDirectory,
  type TargetRequest,
} from './target-directory.ts';
import { checkTablespaceDirectory, isTablespaceOf } from './tablespace-directory.ts';
import { assertClaimed, newClaim, RESTORE_MARKER, type RestoreClaim, writeClaim } from './restore-claim.ts';

/** Where and how a plan is carried out. */
export interface RestoreRequest {
  /** Absolute path of the new data directory. */
  readonly directory: string;
  readonly force: boolean;
  /** Reuse what the stopped data directory of the same cluster, or an unfinished restore, has there. */
  readonly delta: boolean;
  /** Where tablespaces go, by oid; the rest go to where they were. */
  readonly tablespaces: TablespaceDirectories;
  /** What PostgreSQL does at the target. */
  readonly action: 'pause' | 'promote' | 'shutdown';
  /** The words of restore_command, ending in `%f` and `%p`. */
  readonly restoreCommand: readonly string[];
  /** Sync every file before the restore counts as done. False only for throw-away copies. */
  readonly sync: boolean;
}

/** What was written, and what PostgreSQL will do with it. */
export interface RestoreReport {
  readonly directory: string;
  readonly backup: string;
  readonly files: number;
  readonly bytes: number;
  /** Of these, what was in the target already and stayed. */
  readonly keptBytes: number;
  /** Range reads of packs, and the stored bytes that they brought. */
  readonly requests: number;
  readonly storedBytes: number;
  readonly tablespaces: Readonly<Record<string, string>>;
  readonly warnings: readonly string[];
  readonly target: string;
  readonly timeline: number;
  readonly stopsAt: string;
}

/** Files of the origin's own recovery or standby role: they would steer ours. */
const DROPPED: ReadonlySet<string> = new Set(['standby.signal', 'recovery.signal', 'backup_manifest']);

/**
 * Restores and configures; does not start anything.
 * @throws {KeyframeError} TARGET_DIRECTORY, DISK_FULL, ACCESS_DENIED, CORRUPT, UNAVAILABLE
 */
export async function restore(
  plan: RecoveryPlan,
  request: RestoreRequest,
  options: StageOptions = {},
): Promise<RestoreReport> {
  const { backup } = plan;
  const tablespaces = await checkEverything(plan, request);
  const manifest = await plan.archive.backups.manifest(backup, options);
  const claim = await newClaim();
  await prepareTarget(targetOf(plan, request), claim);
  for (const directory of tablespaces.values()) await takeTablespace(directory, request, claim);
  options.onEvent?.({ kind: 'phase', phase: 'restore', message: `restoring backup ${backup.label}` });
  const counted = await local(request.directory, () => writeFiles(plan, { request, tablespaces }, options));
  await local(request.directory, () => placeForkCopies(plan, request, options));
  await assertClaimed(request.directory, claim);
  const standIns = await local(request.directory, () => configure(manifest, plan, request));
  await local(request.directory, () => publish(request, counted.writer, claim));
  return {
    directory: request.directory,
    backup: backup.label,
    files: counted.report.files,
    bytes: counted.report.plainBytes,
    keptBytes: counted.report.keptBytes,
    requests: counted.report.requests,
    storedBytes: counted.report.storedBytes,
    tablespaces: Object.fromEntries(tablespaces),
    warnings: warningsOf(request.directory, standIns).concat(counted.warnings),
    target: describeTarget(plan.target),
    timeline: plan.timeline,
    stopsAt: formatLsn(plan.moment.stopsAt),
  };
}

/** Every refusal that needs no download, before the first change. */
async function checkEverything(plan: RecoveryPlan, request: RestoreRequest): Promise<Map<number, string>> {
  const { backup } = plan;
  const known = new Set(backup.tablespaces.map(({ oid }) => oid));
  for (const oid of request.tablespaces.keys())
    if (!known.has(oid))
      throw new KeyframeError('INVALID_OPTION', `backup ${backup.label} has no tablespace ${oid}`, {
        hint: `Map one of its own with --tablespace OID=DIR: ${[...known].join(', ') || 'it has none'}.`,
      });
  const tablespaces = new Map(
    backup.tablespaces.map(({ oid, location }) => [oid, request.tablespaces.get(oid) ?? location]),
  );
  checkApart([request.directory, ...tablespaces.values()]);
  await checkTarget(targetOf(plan, request));
  const repeated = await isUnfinished(request.directory);
  const postgresVersion = request.delta ? backup.postgresVersion : undefined;
  for (const [oid, directory] of tablespaces) {
    const isOwn =
      (repeated && (await isUnfinished(directory))) ||
      (request.delta && (await isTablespaceOf(request.directory, oid, directory)));
    await checkTablespaceDirectory({ oid, directory, isOwn, postgresVersion });
    await checkSpace(directory, 0);
  }
  return tablespaces;
}

function targetOf({ backup }: RecoveryPlan, { directory, force, delta }: RestoreRequest): TargetRequest {
  return { directory, force, reuse: delta ? backup : undefined, neededBytes: backup.sizeBytes };
}

function checkApart(directories: readonly string[]): void {
  const sorted = directories.map((directory) => `${directory.replace(/\/+$/, '')}/`).toSorted();
  const clash = sorted.find((directory, index) => index > 0 && directory.startsWith(sorted[index - 1] ?? ' '));
  if (clash !== undefined)
    throw new KeyframeError('INVALID_OPTION', `the directory ${clash} is named twice or lies inside another`, {
      hint: 'Give the data directory and each tablespace a directory of its own (`--to`, `--tablespace OID=DIR`).',
    });
}

/** A tablespace directory that is not empty was proven to be the cluster's own. */
async function takeTablespace(directory: string, { delta }: RestoreRequest, claim: RestoreClaim): Promise<void> {
  if (!delta) return prepareTarget({ directory, force: false, neededBytes: 0 }, claim);
  await local(directory, async () => {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    await writeClaim(directory, claim);
    await syncDirectory(directory);
  });
}

interface Written {
  readonly writer: FileWriter;
  readonly report: ReadReport;
  readonly warnings: readonly string[];
}

async function writeFiles(
  plan: RecoveryPlan,
  { request, tablespaces }: { request: RestoreRequest; tablespaces: TablespaceDirectories },
  options: StageOptions,
): Promise<Written> {
  const { directory: root, sync, delta } = request;
  const warnings: string[] = [];
  const onRemoved = (path: string, what: RemovedName): void => {
    if (what === 'link' && !path.startsWith(join(root, 'pg_tblspc/')))
      warnings.push(`${path} was a symbolic link and is none any more; what it led to was left as it is`);
  };
  const writer = delta
    ? createReusingWriter({ root, tablespaces, sync, signal: options.signal, onRemoved })
    : createFileWriter(root, tablespaces, sync);
  const { backup } = plan;
  const tell = progressOf(options.onEvent, backup.sizeBytes);
  try {
    const report = await plan.archive.backups.read(backup, counting(writer.sink, tell), {
      signal: options.signal,
      only: ({ path }) => !DROPPED.has(path),
    });
    const { plainBytes } = report;
    const totalBytes = Math.max(plainBytes, backup.sizeBytes);
    options.onEvent?.({ kind: 'bytes', phase: 'restore', doneBytes: plainBytes, totalBytes });
    for (const damage of report.damage)
      options.onEvent?.({ kind: 'warning', message: damage.message, hint: damage.hint });
    return { writer, report, warnings };
  } finally {
    await writer.close();
  }
}

/** Tells how many bytes are right in the target by now. */
function counting(sink: RestoreSink, tell: (doneBytes: number) => void): RestoreSink {
  let bytes = 0;
  const count = (sizeBytes: number): void => {
    bytes += sizeBytes;
    tell(bytes);
  };
  return {
    entry: (entry) => sink.entry(entry),
    announced: () => sink.announced?.(),
    ...(sink.read === undefined ? {} : { read: sink.read.bind(sink) }),
    ...(sink.path === undefined ? {} : { path: sink.path.bind(sink) }),
    kept: (_file, _offsetBytes, sizeBytes) => count(sizeBytes),
    async write(file, offsetBytes, data) {
      await sink.write(file, offsetBytes, data);
      count(data.length);
    },
    done: (file) => sink.done(file),
  };
}

const TELL_EVERY_MS = 200;

function progressOf(onEvent: OnEvent | undefined, totalBytes: number): (doneBytes: number) => void {
  let last = 0;
  return (doneBytes) => {
    const now = performance.now();
    if (now - last < TELL_EVERY_MS) return;
    last = now;
    onEvent?.({ kind: 'bytes', phase: 'restore', doneBytes, totalBytes });
  };
}

/** Gives the names of the configuration files that the backup does not hold. */
async function configure(
  manifest: ManifestReader,
  plan: RecoveryPlan,
  request: RestoreRequest,
): Promise<readonly string[]> {
  const autoConf = join(request.directory, 'postgresql.auto.conf');
  const before = await readFile(autoConf).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return Buffer.alloc(0);
    throw error;
  });
  const settings = recoverySettings({
    restoreCommand: quoteForCommandSetting(request.restoreCommand),
    stop: plan.stop,
    timeline: plan.timeline,
    action: request.action,
  });
  await writeDurably(autoConf, rewriteAutoConf(before, settings));
  await writeDurably(join(request.directory, 'backup_manifest'), await manifest.serverManifest());
  await writeDurably(join(request.directory, 'recovery.signal'), '');
  return writeStandIns(request.directory);
}

async function writeDurably(path: string, content: string | Uint8Array): Promise<void> {
  await writeFile(path, content, { mode: 0o600, flush: true });
}

async function publish({ directory, sync }: RestoreRequest, writer: FileWriter, claim: RestoreClaim): Promise<void> {
  await writer.settle?.();
  if (sync) for (const each of writer.directories) await syncDirectory(each);
  for (const each of writer.roots) await assertClaimed(each, claim);
  await rename(join(directory, CONTROL_PENDING), join(directory, CONTROL_FILE));
  if (sync) await syncDirectory(join(directory, 'global'));
  for (const each of writer.roots) await rm(join(each, RESTORE_MARKER), { force: true });
  // The directories themselves may be new names, too.
  if (sync) for (const each of writer.roots.flatMap((root) => [root, dirname(root)])) await syncDirectory(each);
}

function warningsOf(directory: string, standIns: readonly string[]): string[] {
  const warnings: string[] = [];
  if (standIns.length > 0)
    warnings.push(
      `${standIns.join(' and ')} ${standIns.length === 1 ? 'is' : 'are'} not part of the backup: the origin keeps them outside its data directory. Small ones were written, enough to recover and look; bring over the origin's settings before production`,
    );
  if (process.getuid?.() === 0)
    warnings.push(
      `the files belong to root: give them to the user that runs PostgreSQL (chown -R postgres: ${directory})`,
    );
  return warnings;
}
