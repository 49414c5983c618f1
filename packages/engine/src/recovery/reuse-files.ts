/**
 * Writes the files of a backup over an old data directory: what is right already stays, whatever the backup does not have goes.
 *
 * Nothing on disk is believed for its name, size or time: the reader of the backup asks for the bytes and compares their hash.
 * A file that shares its content with another name (a hard link, as `pg_upgrade --link` and `cp -l` make them) is never written
 * into, and no link is ever followed.
 * @packageDocumentation
 */
import { closeSync, constants, fdatasync, fsync, openSync, type Stats } from 'node:fs';
import { chmod, type FileHandle, lstat, open, readdir, readlink, rm, truncate } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import type { ManifestEntry, RestoreSink } from '@keyframe/repository';
import { createLocator, directoryMode, linkTarget, placeEntry, type TablespaceDirectories } from './entry-places.ts';
import { fileMode, type FileWriter, writeAt } from './restore-files.ts';
import { OldFiles } from './old-files.ts';
import { OpenFiles } from './open-files.ts';
import { fileSystemSync, type SyncFileSystem } from './sync-file-system.ts';
import { RESTORE_MARKER } from './restore-claim.ts';

/** Entries of a directory looked at together. */
const LOOKS = 16;
/** Room to compare a frame's content with what is there. */
const SCRATCH_BYTES = 256 << 10;
const PAGE_BYTES = 8192;
/** Without these a file could be neither compared nor repaired. */
const OWNER_READ_WRITE = 0o600;

/** What a name was that was removed. */
export type RemovedName = 'file' | 'link' | 'directory';

/** Where and how {@link createReusingWriter} writes. */
export interface ReuseOptions {
  readonly root: string;
  readonly tablespaces: TablespaceDirectories;
  /** Make every file durable, also those that stay: an earlier restore may have been cut off before their content was durable. */
  readonly sync: boolean;
  readonly signal?: AbortSignal | undefined;
  /** Told for each name that was removed. */
  readonly onRemoved?: ((path: string, what: RemovedName) => void) | undefined;
}

/** A regular file that was there and may stay. */
interface Existing {
  readonly path: string;
  readonly sizeBytes: number;
  /** The file system. */
  readonly device: number;
  readonly mode: number;
}

/** Creates a sink that keeps what the reader proves to be right. */
export function createReusingWriter(options: ReuseOptions): FileWriter {
  const writer = new ReusingWriter(options);
  return {
    sink: writer,
    directories: writer.directories,
    roots: [options.root, ...options.tablespaces.values()],
    settle: () => writer.settle(),
    close: () => writer.close(),
  };
}

class ReusingWriter implements RestoreSink {
  readonly directories: Set<string>;
  readonly #options: ReuseOptions;
  readonly #locate: (path: string) => string;
  /** Entries of the backup by the place where they belong. */
  readonly #planned = new Map<string, ManifestEntry>();
  /** By ordinal. */
  readonly #existing = new Map<number, Existing>();
  readonly #links = new Set<string>();
  readonly #files: OpenFiles;
  readonly #old = new OldFiles();
  /** Buffers that nobody uses at the moment. */
  readonly #scratch: Buffer[] = [];
  /** By device: a file that stays there, and how to sync it and all others. */
  readonly #later = new Map<number, { readonly path: string; readonly sync: Promise<SyncFileSystem> }>();

  constructor(options: ReuseOptions) {
    const { root, tablespaces } = options;
    this.#options = options;
    this.#files = new OpenFiles(options.sync);
    this.#locate = createLocator(root, tablespaces);
    this.directories = new Set([root, ...tablespaces.values()]);
  }

  entry(entry: ManifestEntry): void {
    this.#planned.set(this.#locate(entry.path), entry);
  }

  async announced(): Promise<void> {
    const { root, tablespaces } = this.#options;
    for (const directory of [root, ...tablespaces.values()]) await this.#clear(directory);
    const { directories } = this;
    for (const [path, entry] of this.#planned)
      if (!this.#links.has(path)) await placeEntry(entry, { root, path, tablespaces, directories });
  }

  read(file: ManifestEntry, offsetBytes: number, into: Uint8Array): Promise<boolean> {
    const path = this.path(file, offsetBytes + into.length);
    return path === undefined ? Promise.resolve(false) : this.#old.read(path, offsetBytes, into);
  }

  path(file: ManifestEntry, endBytes: number): string | undefined {
    const existing = this.#existing.get(file.ordinal);
    return existing === undefined || existing.sizeBytes < endBytes ? undefined : existing.path;
  }

  /** Only one page of a range may be wrong: what need not be written need not reach the disk again. */
  async write(file: ManifestEntry, offsetBytes: number, data: Uint8Array): Promise<void> {
    for (const [from, to] of await this.#wrong(file, offsetBytes, data))
      await this.#use(file, (handle) => writeAt(handle, offsetBytes + from, data.subarray(from, to)));
  }

  /** Parts of a range that differ from what is there: all of it where there is less. */
  async #wrong(file: ManifestEntry, offsetBytes: number, data: Uint8Array): Promise<(readonly [number, number])[]> {
    const buffer = this.#scratch.pop() ?? Buffer.allocUnsafeSlow(Math.max(SCRATCH_BYTES, data.length));
    try {
      const there = buffer.length < data.length ? Buffer.allocUnsafe(data.length) : buffer.subarray(0, data.length);
      const isThere = await this.read(file, offsetBytes, there);
      return isThere ? [...differences(there, data)] : [[0, data.length]];
    } finally {
      this.#scratch.push(buffer);
    }
  }

  async done(file: ManifestEntry): Promise<void> {
    const existing = this.#existing.get(file.ordinal);
    const changed = this.#files.hasBegun(file.ordinal) || existing === undefined;
    const finish = async (handle?: FileHandle): Promise<void> => {
      const adjusted = existing !== undefined && (await this.#adjust(file, existing));
      if (!this.#options.sync) return;
      if (handle !== undefined) await handle.sync();
      else if (existing !== undefined && !(await this.#syncsLater(existing))) await syncKept(existing.path, adjusted);
    };
    await (changed ? this.#use(file, finish) : finish());
    await this.#files.complete(file.ordinal);
  }

  /** Makes durable what stayed and was not synced by itself. */
  async settle(): Promise<void> {
    for (const { path, sync } of this.#later.values()) await (await sync)?.(path);
  }

  close(): Promise<void> {
    this.#old.close();
    return this.#files.close();
  }

  /** Whether a file that stays is synced with its whole file system, by {@link settle}. */
  async #syncsLater({ path, device }: Existing): Promise<boolean> {
    let later = this.#later.get(device);
    if (later === undefined) this.#later.set(device, (later = { path, sync: fileSystemSync(path) }));
    return (await later.sync) !== undefined;
  }

  /** A file is opened by the first range that must be written. */
  #use(file: ManifestEntry, work: (handle: FileHandle) => Promise<void>): Promise<void> {
    const path = this.#locate(file.path);
    this.directories.add(dirname(path));
    const isThere = this.#existing.has(file.ordinal);
    const create = (again: boolean): Promise<FileHandle> =>
      again || isThere ? open(path, constants.O_RDWR | constants.O_NOFOLLOW) : open(path, 'wx', fileMode(file));
    return this.#files.use(file.ordinal, create, work);
  }

  /** Cuts what is too long and gives the permissions of the backup. True when it changed anything. */
  async #adjust(file: ManifestEntry, existing: Existing): Promise<boolean> {
    const isLonger = existing.sizeBytes > file.sizeBytes;
    const isOther = existing.mode !== fileMode(file);
    if (isLonger) await truncate(existing.path, file.sizeBytes);
    if (isOther) await chmod(existing.path, fileMode(file));
    return isLonger || isOther;
  }

  /** Removes from a directory what the backup does not have there, and notes which files may stay. */
  async #clear(directory: string): Promise<void> {
    this.directories.add(directory);
    const names = await readdir(directory).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return []; // a tablespace that goes to a new place
      throw error;
    });
    for (let at = 0; at < names.length; at += LOOKS) {
      this.#options.signal?.throwIfAborted();
      const some = names.slice(at, at + LOOKS);
      const below = await Promise.all(some.map((name) => this.#look(join(directory, name), name)));
      for (const path of below) if (path !== undefined) await this.#clear(path);
    }
  }

  /** Gives the path of a directory that stays, to be cleared in its turn. */
  async #look(path: string, name: string): Promise<string | undefined> {
    if (name === RESTORE_MARKER && this.#isRoot(path)) return undefined;
    const planned = this.#planned.get(path);
    const found = await lstat(path);
    if (planned !== undefined && (await this.#mayStay(path, planned, found)))
      return found.isDirectory() ? path : undefined;
    await rm(path, { recursive: true });
    const what = found.isSymbolicLink() ? 'link' : found.isDirectory() ? 'directory' : 'file';
    this.#options.onRemoved?.(path, what);
    return undefined;
  }

  #isRoot(marker: string): boolean {
    const { root, tablespaces } = this.#options;
    const directory = dirname(marker);
    return directory === root || [...tablespaces.values()].includes(directory);
  }

  async #mayStay(path: string, planned: ManifestEntry, found: Stats): Promise<boolean> {
    if (planned.type === 'directory') {
      if (!found.isDirectory()) return false;
      const mode = directoryMode(planned);
      if ((found.mode & 0o777) !== mode) await chmod(path, mode);
      return true;
    }
    if (planned.type === 'symlink') {
      const stays = found.isSymbolicLink() && (await readlink(path)) === linkTarget(planned, this.#options.tablespaces);
      if (stays) this.#links.add(path);
      return stays;
    }
    const mode = found.mode & 0o777;
    if (!found.isFile() || found.nlink !== 1 || (mode & OWNER_READ_WRITE) !== OWNER_READ_WRITE) return false;
    this.#existing.set(planned.ordinal, { path, sizeBytes: found.size, device: found.dev, mode });
    return true;
  }
}

/** Runs of pages that differ. */
function* differences(there: Buffer, wanted: Uint8Array): Generator<readonly [number, number]> {
  const differs = (at: number): boolean => {
    const end = Math.min(at + PAGE_BYTES, wanted.length);
    return there.compare(wanted, at, end, at, end) !== 0;
  };
  for (let start = 0; start < wanted.length; start += PAGE_BYTES) {
    if (!differs(start)) continue;
    let end = start + PAGE_BYTES;
    while (end < wanted.length && differs(end)) end += PAGE_BYTES;
    yield [start, Math.min(end, wanted.length)];
    start = end;
  }
}

const [dataSync, wholeSync] = [promisify(fdatasync), promisify(fsync)];

/** For a file of which nothing changed, neither size nor permissions, the kernel has nothing to do if its content is durable. */
async function syncKept(path: string, adjusted: boolean): Promise<void> {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    await (adjusted ? wholeSync : dataSync)(fd);
  } finally {
    closeSync(fd);
  }
}
