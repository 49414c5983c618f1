import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import path from 'node:path';
import type { EpochArchive, WalIndexCache, WalIndexRef } from '@keyframe/repository';

/** A cache that can be rid of what is not needed any more. */
export interface IndexCache extends WalIndexCache {
  /** Removes what is not among these. */
  prune(refs: readonly WalIndexRef[]): Promise<void>;
}

/** What one archive's index may take of a host's disk. When it is full, what was written first goes. */
const LARGEST_BYTES = 256 << 20;
/** What is left of it then. */
const KEPT_SHARE = 0.75;

interface CachedFile {
  readonly name: string;
  readonly sizeBytes: number;
  readonly writtenMs: number;
}

/** Parts of objects of an index in a directory of this host, as they are in the store: encrypted where they are there. */
class DirectoryCache implements IndexCache {
  readonly #directory: string;
  readonly #largestBytes: number;
  /** Bytes there are, once they were counted. */
  #usedBytes: Promise<number> | undefined;

  constructor(directory: string, largestBytes: number) {
    this.#directory = directory;
    this.#largestBytes = largestBytes;
  }

  async get(ref: WalIndexRef, start: number, end: number): Promise<Uint8Array | undefined> {
    try {
      const bytes = await readFile(path.join(this.#directory, nameOf(ref, start, end)));
      return bytes.length === end - start ? bytes : undefined;
    } catch (error) {
      if (isOfFiles(error)) return undefined;
      throw error;
    }
  }

  async set(ref: WalIndexRef, start: number, bytes: Uint8Array): Promise<void> {
    const file = path.join(this.#directory, nameOf(ref, start, start + bytes.length));
    try {
      await mkdir(this.#directory, { recursive: true, mode: 0o700 });
      await this.#makeRoom(bytes.length);
      // Whoever reads it meanwhile finds it whole or not at all; a crash costs a file that fails its hash.
      await writeFile(`${file}.${process.pid}`, bytes, { mode: 0o600 });
      await rename(`${file}.${process.pid}`, file);
    } catch (error) {
      // A cache that cannot be written, for want of room or of rights, is only slower.
      if (!isOfFiles(error)) throw error;
    }
  }

  /** Removes what the store has no more. */
  async prune(refs: readonly WalIndexRef[]): Promise<void> {
    const kept = new Set(refs.map(prefixOf));
    for (const { name } of await this.#files())
      if (!kept.has(name.slice(0, name.indexOf(PART) + 1))) await rm(path.join(this.#directory, name), { force: true });
    this.#usedBytes = undefined;
  }

  async #makeRoom(bytes: number): Promise<void> {
    this.#usedBytes ??= this.#files().then((files) => files.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0));
    const used = (await this.#usedBytes) + bytes;
    this.#usedBytes = used <= this.#largestBytes ? Promise.resolve(used) : this.#evict();
    await this.#usedBytes;
  }

  async #evict(): Promise<number> {
    const files = (await this.#files()).toSorted((a, b) => b.writtenMs - a.writtenMs);
    let used = 0;
    for (const { name, sizeBytes } of files) {
      if (used + sizeBytes <= this.#largestBytes * KEPT_SHARE) used += sizeBytes;
      else await rm(path.join(this.#directory, name), { force: true });
    }
    return used;
  }

  async #files(): Promise<CachedFile[]> {
    const names = await readdir(this.#directory).catch((error: unknown) => {
      if (isAbsent(error)) return [];
      throw error;
    });
    const files: CachedFile[] = [];
    for (const name of names) {
      const found = await stat(path.join(this.#directory, name)).catch((error: unknown) => {
        if (!isAbsent(error)) throw error;
      });
      if (found !== undefined) files.push({ name, sizeBytes: found.size, writtenMs: found.mtimeMs });
    }
    return files;
  }
}

/** Stands between the name of an object and that of a part. */
const PART = '@';

const prefixOf = ({ key, sizeBytes }: WalIndexRef): string =>
  `${key.split('/').slice(-2).join('-')}-${sizeBytes}${PART}`;

const nameOf = (ref: WalIndexRef, start: number, end: number): string => `${prefixOf(ref)}${start}-${end}`;

const isOfFiles = (error: unknown): error is Error & { readonly code: unknown } =>
  error instanceof Error && 'code' in error;
const isAbsent = (error: unknown): boolean => isOfFiles(error) && error.code === 'ENOENT';

/** The cache of one archive's index below a host's state directory. */
export function openIndexCache(
  stateDirectory: string,
  repositoryId: string,
  { cluster, epoch }: Pick<EpochArchive, 'cluster' | 'epoch'>,
  largestBytes: number = LARGEST_BYTES,
): IndexCache {
  const directory = path.join(stateDirectory, 'index', repositoryId, cluster, String(epoch.number));
  return new DirectoryCache(directory, largestBytes);
}
