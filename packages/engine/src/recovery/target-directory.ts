/** Makes a target directory ready for a restore, and refuses whatever could be somebody's data. @packageDocumentation */
import { chmod, mkdir, open, readdir, readFile, realpath, rm, stat, statfs } from 'node:fs/promises';
import { dirname, isAbsolute, join } from 'node:path';
import { KeyframeError } from '@keyframe/contracts';
import { isRunning } from '@keyframe/postgres';
import { checkSameCluster, type ReusedCluster, withdrawControlFile } from './delta-target.ts';
import { refuseRunningRestore, RESTORE_MARKER, type RestoreClaim, writeClaim } from './restore-claim.ts';

export interface TargetRequest {
  readonly directory: string;
  /** Empty a directory that holds an old data directory. Never one with a running server, never one that holds anything else. */
  readonly force: boolean;
  /** Keep the files of an old data directory of that cluster, or of an unfinished restore, to be compared. */
  readonly reuse?: ReusedCluster | undefined;
  /** What the restored files will take, bytes. */
  readonly neededBytes: number;
}

/**
 * Creates or empties the directory and leaves the claim in it. All refusals come before the first change.
 * @throws {KeyframeError} TARGET_DIRECTORY, DISK_FULL, ACCESS_DENIED, INVALID_OPTION
 */
export async function prepareTarget(request: TargetRequest, claim: RestoreClaim): Promise<void> {
  const { directory } = request;
  await checkTarget(request);
  await local(directory, async () => {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    // PostgreSQL refuses to start in a directory that others may read, as a plain mkdir(1) leaves it.
    if (((await stat(directory)).mode & 0o027) !== 0) await chmod(directory, 0o700);
    // The marker goes first in and is kept by the wipe, so a second death on the way is still a restore that can be repeated.
    await writeClaim(directory, claim);
    await syncDirectory(directory);
    if (request.reuse === undefined) await empty(directory, RESTORE_MARKER);
    else await withdrawControlFile(directory);
  });
}

/** All refusals of {@link prepareTarget}, without changing anything. */
export async function checkTarget(request: TargetRequest): Promise<void> {
  const { directory, neededBytes } = request;
  if (!isAbsolute(directory) || directory === '/')
    throw new KeyframeError(
      'INVALID_OPTION',
      directory === '/' ? '--to / is the whole file system' : `--to ${directory} is not an absolute path`,
      { hint: 'Name a directory of its own, such as --to /var/lib/postgresql/restored.' },
    );
  await refuseInside(directory);
  const names = await local(directory, () => namesIn(directory));
  await local(directory, () => checkContents(request, names));
  await checkSpace(directory, neededBytes, () => (names.length > 0 ? usedBytes(directory) : Promise.resolve(0)));
}

/** What a directory is that holds these, and that a restore must not grow into. */
const OCCUPIED = [
  { marks: ['PG_VERSION', 'global'], what: 'the data directory' },
  { marks: ['keyframe.json', 'clusters'], what: 'the repository' },
] as const;

async function refuseInside(directory: string): Promise<void> {
  for (let at = await nearestExisting(dirname(directory)); at !== dirname(at); at = dirname(at)) {
    // One that we may not list is left to the file system to refuse.
    const names: readonly string[] = await readdir(at).catch(() => []);
    const found = OCCUPIED.find(({ marks }) => marks.every((mark) => names.includes(mark)));
    if (found !== undefined)
      throw new KeyframeError('TARGET_DIRECTORY', `${directory} lies inside ${found.what} ${at}`, {
        hint: 'Choose a directory beside it with `--to`.',
        details: { directory, inside: at },
      });
  }
}

async function checkContents({ directory, force, reuse }: TargetRequest, names: readonly string[]): Promise<void> {
  if (names.length === 0) return;
  if ((await isRunning(directory)) !== undefined)
    throw new KeyframeError('TARGET_DIRECTORY', `a PostgreSQL server is running in ${directory}`, {
      hint: 'Stop it with pg_ctl stop, or choose another directory with `--to`; `--force` does not override this.',
    });
  if (names.includes(RESTORE_MARKER)) return refuseRunningRestore(directory);
  const looksLikeData = names.includes('PG_VERSION') && names.includes('global');
  if (reuse !== undefined && looksLikeData) {
    await checkSameCluster(directory, reuse);
    return refuseUnarchived(directory);
  }
  if (force && looksLikeData) return refuseUnarchived(directory);
  throw new KeyframeError('TARGET_DIRECTORY', `the target directory ${directory} is not empty`, {
    hint: looksLikeData
      ? 'Choose an empty directory with `--to`, or give `--delta` to reuse the data directory that is there, `--force` to delete it.'
      : 'Choose an empty directory with `--to`; it holds no PostgreSQL data, so `--force` and `--delta` leave it alone.',
    details: { directory, entries: names.length },
  });
}

/** On the worst day the last transactions exist in the old pg_wal alone: those must not go with it. */
async function refuseUnarchived(directory: string): Promise<void> {
  const marks = await namesIn(join(directory, 'pg_wal', 'archive_status'));
  const waiting = marks.flatMap((name) => (name.endsWith('.ready') ? [name.slice(0, -'.ready'.length)] : []));
  const [first] = waiting.toSorted();
  if (first === undefined) return;
  throw new KeyframeError(
    'TARGET_DIRECTORY',
    `${directory} holds ${waiting.length} WAL ${waiting.length === 1 ? 'file that was' : 'files that were'} never archived, first ${first}`,
    {
      hint: `Archive them (cd ${directory} && keyframe wal push pg_wal/${first}), then plan again; or move the directory away and restore into an empty one.`,
      details: { directory, waiting: waiting.length, first },
    },
  );
}

/** @throws {KeyframeError} DISK_FULL when the file system cannot take `neededBytes` more, counting what gets free or is reused. */
export async function checkSpace(
  directory: string,
  neededBytes: number,
  freedBytes: () => Promise<number> = () => Promise.resolve(0),
): Promise<void> {
  const { bavail, bsize } = await statfs(await nearestExisting(directory));
  if (bavail * bsize >= neededBytes) return;
  const availableBytes = bavail * bsize + (await freedBytes());
  if (availableBytes >= neededBytes) return;
  throw new KeyframeError(
    'DISK_FULL',
    `the restore needs ${mebibytes(neededBytes)} MiB in ${directory}, there is room for ${mebibytes(availableBytes)} MiB`,
    {
      hint: 'Free space or choose a larger file system with `--to`; nothing was written.',
      details: { neededBytes, availableBytes },
    },
  );
}

const mebibytes = (bytes: number): number => Math.ceil(bytes / (1 << 20));

async function namesIn(directory: string): Promise<string[]> {
  return readdir(directory).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return [];
    throw error;
  });
}

async function nearestExisting(path: string): Promise<string> {
  for (let at = path; ; at = dirname(at)) {
    const found = await realpath(at).catch(() => undefined);
    if (found !== undefined || at === dirname(at)) return found ?? at;
  }
}

async function usedBytes(directory: string): Promise<number> {
  let sum = 0;
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true }))
    if (entry.isFile()) sum += (await stat(join(entry.parentPath, entry.name))).blocks * 512;
  return sum;
}

/** A new name is durable only once its directory is synced, see fsync(2). */
export async function syncDirectory(path: string): Promise<void> {
  await using handle = await open(path, 'r');
  await handle.sync();
}

/** Removes what the directory holds, not the directory: it may be a mount point. Links in it are removed, not followed. */
async function empty(directory: string, keep: string): Promise<void> {
  for (const name of await readdir(directory)) {
    if (name === keep) continue;
    await rm(join(directory, name), { recursive: true, force: true });
  }
}

/** True when an earlier restore into the directory did not finish. */
export async function isUnfinished(directory: string): Promise<boolean> {
  return readFile(join(directory, RESTORE_MARKER)).then(
    () => true,
    () => false,
  );
}

/** Turns a fault of the local file system into a typed error about the directory. */
export async function local<T>(directory: string, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (cause) {
    const { syscall, code } = cause as NodeJS.ErrnoException;
    if (syscall === undefined || code === undefined) throw cause;
    if (code === 'ENOSPC' || code === 'EDQUOT')
      throw new KeyframeError('DISK_FULL', `no space left in ${directory}`, {
        cause,
        hint: 'Free space and run the same restore again: it starts over in the same directory.',
      });
    if (code === 'ENOTDIR')
      throw new KeyframeError('TARGET_DIRECTORY', `a part of ${directory} is no directory`, {
        cause,
        hint: 'Name a directory of its own, such as --to /var/lib/postgresql/restored; it may be absent.',
        details: { directory },
      });
    throw new KeyframeError(
      code === 'EACCES' || code === 'EPERM' || code === 'EROFS' ? 'ACCESS_DENIED' : 'TARGET_DIRECTORY',
      `cannot use the directory ${directory}: ${code} (${syscall})`,
      {
        cause,
        hint: 'Run the restore as the user that will run PostgreSQL, with write access to the parent of `--to`.',
        details: { directory },
      },
    );
  }
}
