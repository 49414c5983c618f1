/**
 * One sync for all files of a file system rather than one for each: a flush of the disk's own cache takes milliseconds on many
 * disks, and a data directory has thousands of files.
 * @packageDocumentation
 */
import { execFile } from 'node:child_process';
import { constants } from 'node:fs';
import { open, statfs } from 'node:fs/promises';
import { release } from 'node:os';
import { promisify } from 'node:util';
import { KeyframeError } from '@keyframe/contracts';

const run = promisify(execFile);

/** sync(1); not by the search path, since it decides about what is durable. */
const PROGRAM = '/usr/bin/sync';
/** Others take `-f` for nothing and say so, or not even that. */
const KNOWN_PROGRAM = /coreutils/;
/** syncfs(2) tells of failed writes since Linux 5.8. */
const LEAST_KERNEL = [5, 8] as const;
/** ext2 to ext4, and XFS: of these is known that syncfs, and then one fsync, leave nothing in any cache. */
const KNOWN_TYPES: ReadonlySet<number> = new Set([0xef_53, 0x58_46_53_42]);

/** Syncs the file system on which a file lies. Undefined: each file must be synced by itself. */
export type SyncFileSystem = ((path: string) => Promise<void>) | undefined;

/** Finds out whether the file system of a file can be synced at once and would tell if that failed. */
export async function fileSystemSync(path: string, kernel: string = release()): Promise<SyncFileSystem> {
  if (process.platform !== 'linux' || !isRecent(kernel)) return undefined;
  if (!KNOWN_TYPES.has((await statfs(path)).type)) return undefined;
  const version = await run(PROGRAM, ['--version'], { env: {} }).then(
    ({ stdout }) => stdout.split('\n', 1)[0] ?? '',
    () => '', // there is none
  );
  return KNOWN_PROGRAM.test(version) ? syncFileSystem : undefined;
}

function isRecent(kernel: string): boolean {
  const [major = 0, minor = 0] = kernel.split('.').map(Number);
  return major > LEAST_KERNEL[0] || (major === LEAST_KERNEL[0] && minor >= LEAST_KERNEL[1]);
}

async function syncFileSystem(path: string): Promise<void> {
  const { stderr } = await run(PROGRAM, ['-f', path], { env: {} }).catch((cause: unknown) => {
    throw failed(path, cause);
  });
  if (stderr !== '') throw failed(path, new Error(stderr));
  // Pages that were overwritten in place and written back a while ago may be in the disk's cache still: where its log had
  // nothing to write, XFS sends no flush for syncfs. It always does for fsync.
  await using handle = await open(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  await handle.datasync();
}

function failed(path: string, cause: unknown): KeyframeError {
  return new KeyframeError('TARGET_DIRECTORY', `what stayed on the file system of ${path} could not be made durable`, {
    cause,
    hint: 'Look at the disk (`dmesg`), then run the same restore again: it goes on where it was.',
  });
}
