/**
 * Restores a planned recovery into a directory, ready to be started.
 *
 * Order for safety: marker, files, settings and signal, everything synced, then `global/pg_control` under its own name (PostgreSQL
 * does not start without it), then the marker goes. Killed anywhere before, the directory cannot be started and can be restored again.
 * @packageDocumentation
 */
import { readFile, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { formatLsn, KeyframeError } from '@keyframe/contracts';
import { quoteForCommandSetting, recoverySettings, rewriteAutoConf } from '@keyframe/postgres';
import type { ManifestReader } from '@keyframe/repository';
import type { OnEvent, StageOptions } from '../events.ts';
import { describeTarget } from '../target/index.ts';
import { placeForkCopies } from './fork-copies.ts';
import type { RecoveryPlan } from './plan.ts';
import {
  CONTROL_FILE,
  CONTROL_PENDING,
  createFileWriter,
  type FileWriter,
  type TablespaceDirectories,
} from './restore-files.ts';
import { writeStandIns } from './stand-in-configuration.ts';
import {
  checkSpace,
  checkTablespaceDirectory,
  checkTarget,
  isUnfinished,
  local,
  prepareTarget,
  syncDirectory,
} from './target-directory.ts';
import { assertClaimed, newClaim, RESTORE_MARKER, type RestoreClaim } from './restore-claim.ts';

/** Where and how a plan is carried out. */
export interface RestoreRequest {
  /** Absolute path of the new data directory. */
  readonly directory: string;
  readonly force: boolean;
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
  await prepareTarget({ ...request, neededBytes: backup.sizeBytes }, claim);
  for (const directory of tablespaces.values()) await clearRepeated(directory, claim);
  options.onEvent?.({ kind: 'phase', phase: 'restore', message: `restoring backup ${backup.label}` });
  const counted = await local(request.directory, () => writeFiles(plan, { request, tablespaces }, options));
  await local(request.directory, () => placeForkCopies(plan, request, options));
  await assertClaimed(request.directory, claim);
  const standIns = await local(request.directory, () => configure(manifest, plan, request));
  await local(request.directory, () => publish(request, counted.writer, claim));
  return {
    directory: request.directory,
    backup: backup.label,
    files: counted.files,
    bytes: counted.bytes,
    tablespaces: Object.fromEntries(tablespaces),
    warnings: warningsOf(request.directory, standIns),
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
  await checkTarget({ ...request, neededBytes: backup.sizeBytes });
  const repeated = await isUnfinished(request.directory);
  for (const [oid, directory] of tablespaces) {
    await checkTablespaceDirectory(oid, directory, repeated && (await isUnfinished(directory)));
    await checkSpace(directory, 0, 0);
  }
  return tablespaces;
}

function checkApart(directories: readonly string[]): void {
  const sorted = directories.map((directory) => `${directory.replace(/\/+$/, '')}/`).toSorted();
  const clash = sorted.find((directory, index) => index > 0 && directory.startsWith(sorted[index - 1] ?? ' '));
  if (clash !== undefined)
    throw new KeyframeError('INVALID_OPTION', `the directory ${clash} is named twice or lies inside another`, {
      hint: 'Give the data directory and each tablespace a directory of its own (`--to`, `--tablespace OID=DIR`).',
    });
}

/** A tablespace directory half filled by the same restore before: it has the marker too. */
async function clearRepeated(directory: string, claim: RestoreClaim): Promise<void> {
  await prepareTarget({ directory, force: false, neededBytes: 0 }, claim);
}

interface Written {
  readonly writer: FileWriter;
  readonly files: number;
  readonly bytes: number;
}

async function writeFiles(
  plan: RecoveryPlan,
  { request, tablespaces }: { request: RestoreRequest; tablespaces: TablespaceDirectories },
  options: StageOptions,
): Promise<Written> {
  const writer = createFileWriter(request.directory, tablespaces, request.sync);
  const { backup } = plan;
  const tell = progressOf(options.onEvent, backup.sizeBytes);
  let bytes = 0;
  try {
    const report = await plan.archive.backups.read(
      backup,
      {
        ...writer.sink,
        async write(file, offsetBytes, data) {
          await writer.sink.write(file, offsetBytes, data);
          bytes += data.length;
          tell(bytes);
        },
      },
      { signal: options.signal, only: ({ path }) => !DROPPED.has(path) },
    );
    options.onEvent?.({
      kind: 'bytes',
      phase: 'restore',
      doneBytes: bytes,
      totalBytes: Math.max(bytes, backup.sizeBytes),
    });
    for (const damage of report.damage)
      options.onEvent?.({ kind: 'warning', message: damage.message, hint: damage.hint });
    return { writer, files: report.files, bytes: report.plainBytes };
  } finally {
    await writer.close();
  }
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
