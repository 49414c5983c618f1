import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** A file system of its own for a test of full and read-only disks. Needs root: ask `needs(context, 'tmpfs')` first. */
export interface SmallFileSystem extends AsyncDisposable {
  readonly directory: string;
  /** Mounts it again read-only or read-write. */
  remount(mode: 'ro' | 'rw'): Promise<void>;
  /** Gives it another size; what is on it must fit. */
  resize(sizeKiB: number): Promise<void>;
  /** Takes it away under whoever uses it, leaving the empty mount point. */
  unmount(): Promise<void>;
}

/** Mounts an empty tmpfs of that size. Disposal unmounts it, files still open or not. */
export async function mountSmall(sizeKiB: number): Promise<SmallFileSystem> {
  const directory = await mkdtemp(path.join(tmpdir(), 'kf-small-'));
  await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeKiB}k,mode=0755`, 'none', directory]);
  let mounted = true;
  const unmount = async (): Promise<void> => {
    if (mounted) await run('umount', ['--lazy', directory]);
    mounted = false;
  };
  return {
    directory,
    remount: async (mode) => void (await run('mount', ['-o', `remount,${mode}`, directory])),
    resize: async (size) => void (await run('mount', ['-o', `remount,size=${size}k`, directory])),
    unmount,
    async [Symbol.asyncDispose]() {
      await unmount();
      await rm(directory, { recursive: true, force: true });
    },
  };
}
