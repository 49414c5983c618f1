import { randomUUID } from 'node:crypto';
import { constants, type Stats } from 'node:fs';
import { type FileHandle, link, lstat, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import {
  assertPlainPut,
  type ByteSource,
  type ByteStream,
  type GetOptions,
  type Host,
  KeyframeError,
  type ObjectInfo,
  type PutOptions,
  type Store,
} from '@keyframe/contracts';
import { abortable, openExact } from '@keyframe/contracts/streams';
import { infoOf, listObjects, placedInfoOf } from './list.ts';
import { assertStoreKey, Root } from './root.ts';
import {
  ignoringSystem,
  type Place,
  symbolicLink,
  syncDirectory,
  systemCode,
  translate,
  translated,
} from './system.ts';

/** Options as the store takes them: modes already read as numbers. */
export interface FsStoreOptions {
  /** Absolute path of the directory that holds the objects. Created by the first write. */
  readonly directory: string;
  /** Permissions of new files, less what the umask takes away. Default `0o640`. */
  readonly fileMode: number;
  /** Permissions of new directories, less what the umask takes away. Default `0o750`. */
  readonly directoryMode: number;
}

/** Follows no symbolic link and waits for no writer of a pipe. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
/** Bytes per write. */
const GATHER = 1024 * 1024;
/** Bytes per read. */
const CHUNK = 256 * 1024;
/** A directory may be pruned between its making and our link into it; more often than this is no coincidence. */
const PUBLISH_ATTEMPTS = 5;

/** A {@link Store} over one directory of a local or network file system with hard links. */
export function createFsStore(options: FsStoreOptions, host: Pick<Host, 'log' | 'now'>): Store {
  const root = new Root(options.directory, options.directoryMode, host);
  const about = (key: string): Place => ({ key, path: join(options.directory, key) });
  return {
    capabilities: { conditionalPut: true, conditionalReplace: false, rangeRead: true, strongConsistency: true },
    put: (key, source, how = {}) => translated(about(key), () => put(root, options.fileMode, { key, source, how })),
    get: (key, how = {}) => translated(about(key), () => get(root, key, how)),
    stat: (key, { signal } = {}) => translated(about(key), () => stat(root, key, signal)),
    list: (prefix, { signal } = {}) => listObjects(root, prefix, signal),
    delete: (keys, { signal } = {}) => remove(root, keys, about, signal),
  };
}

interface Put {
  readonly key: string;
  readonly source: ByteSource;
  readonly how: PutOptions;
}

async function put(root: Root, mode: number, { key, source, how }: Put): Promise<ObjectInfo> {
  assertStoreKey(key);
  assertPlainPut(how);
  how.signal?.throwIfAborted();
  if (how.ifMatch !== undefined)
    throw new KeyframeError('UNSUPPORTED', `object '${key}': store-fs has no conditional replace`);
  if (how.ifAbsent === true) await refuseExisting(root, key);
  const staged = await stage(root, mode, source, how.signal);
  try {
    const path = await root.locate(key);
    await publish(root, { key, staged: staged.path, path }, how.ifAbsent === true);
    await syncDirectory(dirname(path));
    return infoOf(key, staged.info);
  } finally {
    await rm(staged.path, { force: true });
  }
}

/** Spares the making and writing of bytes that could not be published. What is not there yet, link(2) decides about. */
async function refuseExisting(root: Root, key: string): Promise<void> {
  const path = await root.locate(key);
  const found = await lstat(path).catch(ignoringSystem('ENOENT', 'ENOTDIR'));
  if (found === undefined) return;
  const fault = Object.assign(new Error(`${path} exists`), { code: 'EEXIST', errno: -17 });
  await assertNoClash(key, path, fault);
  // The writer that was first may have crashed before this; who is told `exists` may take it for durable.
  await syncDirectory(dirname(path));
  throw fault;
}

interface Staged {
  readonly path: string;
  readonly info: Stats;
}

/** Writes a source to a staging file and makes its bytes durable. */
async function stage(root: Root, mode: number, source: ByteSource, signal: AbortSignal | undefined): Promise<Staged> {
  const path = join(await root.staging(), randomUUID());
  try {
    await using file = await open(path, 'wx', mode).catch(async (error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error;
      await root.renewStaging(); // removed by hand, or with the file system that was there
      return open(path, 'wx', mode);
    });
    await writeStream(file, abortable(openExact(source), signal), source.sizeBytes);
    await file.sync();
    signal?.throwIfAborted();
    return { path, info: await file.stat() };
  } catch (error) {
    await rm(path, { force: true });
    throw error;
  }
}

/** Gathers small chunks, since each write costs a trip to the thread pool and an update of the file's metadata. */
async function writeStream(file: FileHandle, stream: ByteStream, sizeBytes: number | undefined): Promise<void> {
  const gathered = Buffer.allocUnsafeSlow(Math.min(sizeBytes ?? GATHER, GATHER));
  let used = 0;
  for await (const chunk of stream) {
    if (used + chunk.length > gathered.length) {
      await writeAll(file, gathered.subarray(0, used));
      used = 0;
    }
    if (chunk.length >= gathered.length) {
      await writeAll(file, chunk);
    } else {
      gathered.set(chunk, used);
      used += chunk.length;
    }
  }
  await writeAll(file, gathered.subarray(0, used));
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  for (let at = 0; at < chunk.length;) at += (await file.write(chunk, at)).bytesWritten;
}

interface Publication {
  readonly key: string;
  readonly staged: string;
  readonly path: string;
}

async function publish(root: Root, { key, staged, path }: Publication, ifAbsent: boolean): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      await root.make(dirname(path));
      // link(2) fails when the name exists, so of two concurrent writers one wins; rename(2) would replace.
      return await (ifAbsent ? link(staged, path) : rename(staged, path));
    } catch (error) {
      const system = systemCode(error);
      if (system === 'ENOENT') {
        await root.confirm();
        if (attempt < PUBLISH_ATTEMPTS) continue;
        const text = `object '${key}': its directory or staging file was removed while it was written`;
        throw new KeyframeError('UNAVAILABLE', text, { cause: error, details: { key } });
      }
      if (ifAbsent && (system === 'EPERM' || system === 'ENOTSUP' || system === 'EOPNOTSUPP'))
        throw noLinks(path, error);
      // The writer that was first may have crashed before this; who is told `exists` may take it for durable.
      if (system === 'EEXIST') await syncDirectory(dirname(path)).catch(ignoringSystem('ENOTDIR'));
      if (system === 'ENOTDIR' || system === 'EISDIR' || system === 'EEXIST') await assertNoClash(key, path, error);
      throw error;
    }
  }
}

function noLinks(path: string, cause: unknown): KeyframeError {
  const text = `the file system of '${dirname(path)}' has no hard links, which create-only writing needs`;
  return new KeyframeError('UNSUPPORTED', text, {
    cause,
    hint: "Set the store's directory to a place on a file system with hard links, such as ext4 or XFS.",
  });
}

/** A file system cannot hold both `a` and `a/b`, which a flat namespace could. */
async function assertNoClash(key: string, path: string, cause: unknown): Promise<void> {
  const found = await lstat(path).catch(ignoringSystem('ENOENT', 'ENOTDIR'));
  if (found !== undefined && !found.isDirectory()) return;
  const text = found === undefined ? 'a prefix of the key is an object' : 'the key is a prefix of other objects';
  throw new KeyframeError('CONFLICT', `object '${key}': ${text}`, { cause, details: { key } });
}

async function get(root: Root, key: string, { range, signal }: GetOptions): Promise<ByteStream> {
  signal?.throwIfAborted();
  const path = await root.locate(key);
  const file = await open(path, READ).catch(async (error: unknown) => {
    if (systemCode(error) === 'ENOENT') await root.confirm();
    throw error;
  });
  try {
    const found = await file.stat();
    if (!found.isFile()) throw new KeyframeError('NOT_FOUND', `object '${key}': a prefix, not an object`);
    const start = Math.min(range?.start ?? 0, found.size);
    const end = Math.max(start, Math.min(range?.end ?? found.size, found.size));
    return read({ key, path }, file, { start, end }, signal);
  } catch (error) {
    await file.close();
    throw error;
  }
}

async function* read(
  place: Place,
  file: FileHandle,
  { start, end }: { readonly start: number; readonly end: number },
  signal: AbortSignal | undefined,
): ByteStream {
  try {
    for (let at = start; at < end;) {
      signal?.throwIfAborted();
      const wanted = Math.min(CHUNK, end - at);
      const { bytesRead, buffer } = await file.read(Buffer.allocUnsafeSlow(wanted), 0, wanted, at);
      if (bytesRead === 0) throw new KeyframeError('CORRUPT', `object '${place.key}': it shrank while it was read`);
      at += bytesRead;
      yield bytesRead === wanted ? buffer : buffer.subarray(0, bytesRead);
    }
  } catch (error) {
    throw await translate(place, error);
  } finally {
    await file.close();
  }
}

async function stat(root: Root, key: string, signal: AbortSignal | undefined): Promise<ObjectInfo | undefined> {
  signal?.throwIfAborted();
  const path = await root.locate(key);
  const found = await lstat(path).catch(ignoringSystem('ENOENT', 'ENOTDIR'));
  if (found === undefined) await root.confirm();
  if (found?.isSymbolicLink() === true) throw symbolicLink(path);
  return found?.isFile() === true ? placedInfoOf(key, found) : undefined;
}

async function remove(
  root: Root,
  keys: readonly string[],
  about: (key: string) => Place,
  signal: AbortSignal | undefined,
): Promise<void> {
  const directories = new Set<string>();
  for (const key of keys) {
    signal?.throwIfAborted();
    await translated(about(key), async () => {
      const path = await root.locate(key);
      const found = await lstat(path).catch(ignoringSystem('ENOENT', 'ENOTDIR'));
      if (found === undefined) await root.confirm();
      if (found === undefined || found.isDirectory()) return;
      await rm(path, { force: true });
      directories.add(dirname(path));
    });
  }
  for (const path of directories) {
    await translated({ key: '', path }, async () => {
      // Before anything else is deleted, so that no order of deletion is turned round by a power cut.
      await syncDirectory(path).catch(ignoringSystem('ENOENT'));
      await root.prune(path);
    });
  }
}
