import { mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { EpochArchive, WalIndexCache, WalIndexRef } from '@keyframe/repository';

/** A cache that can be rid of what is not needed any more. */
export interface IndexCache extends WalIndexCache {
  /** Removes what is not among these. */
  prune(refs: readonly WalIndexRef[]): Promise<void>;
}

/** Objects of an index in a directory of this host, as they are in the store: encrypted where they are there. */
class DirectoryCache implements IndexCache {
  readonly #directory: string;

  constructor(directory: string) {
    this.#directory = directory;
  }

  async get(ref: WalIndexRef): Promise<Uint8Array | undefined> {
    try {
      const bytes = await readFile(path.join(this.#directory, nameOf(ref)));
      return bytes.length === ref.sizeBytes ? bytes : undefined;
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  }

  async set(ref: WalIndexRef, bytes: Uint8Array): Promise<void> {
    const file = path.join(this.#directory, nameOf(ref));
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      // Whoever reads it meanwhile finds it whole or not at all; a crash costs a file that fails its hash.
      await writeFile(`${file}.${process.pid}`, bytes, { mode: 0o600 });
      await rename(`${file}.${process.pid}`, file);
    } catch (error) {
      // A cache that cannot be written, for want of room or of rights, is only slower.
      if (!(error instanceof Error && 'code' in error)) throw error;
    }
  }

  /** Removes what the store has no more. */
  async prune(refs: readonly WalIndexRef[]): Promise<void> {
    const kept = new Set(refs.map(nameOf));
    const names = await readdir(this.#directory).catch((error: unknown) => {
      if (isAbsent(error)) return [];
      throw error;
    });
    for (const name of names) if (!kept.has(name)) await rm(path.join(this.#directory, name), { force: true });
  }
}

const nameOf = ({ key }: WalIndexRef): string => key.split('/').slice(-2).join('-');

const isAbsent = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'ENOENT';

/** The cache of one archive's index below a host's state directory. */
export function openIndexCache(
  stateDirectory: string,
  repositoryId: string,
  { cluster, epoch }: Pick<EpochArchive, 'cluster' | 'epoch'>,
): IndexCache {
  return new DirectoryCache(path.join(stateDirectory, 'index', repositoryId, cluster, String(epoch.number)));
}
