import { randomUUID } from 'node:crypto';
import { dirname } from 'node:path/posix';
import {
  type Abortable,
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
import type { Channel } from './channel.ts';
import { Connection } from './connection.ts';
import { ignoringStatus, type Place, Status, statusOf, translate, translated } from './faults.ts';
import { infoOf, listObjects } from './list.ts';
import type { SftpStoreOptions } from './options.ts';
import { alreadyExists, clash, Publisher } from './publish.ts';
import { describe, Root, symbolicLink } from './root.ts';
import { type Extent, readExtent, writeStream } from './transfer.ts';

/** Removals under way at a time. */
const REMOVALS = 32;

/** A {@link Store} over a directory of an SFTP server. */
export function createSftpStore(options: SftpStoreOptions, host: Pick<Host, 'log'>): Store {
  const store = new SftpStore(options, host);
  const root = store.root;
  const about = (key: string): Place => ({ key, path: `${root.directory}/${key}` });
  return {
    capabilities: { conditionalPut: true, conditionalReplace: false, rangeRead: true, strongConsistency: true },
    location: { provider: `sftp:${options.host}`, account: options.user, container: root.directory },
    put: (key, source, how = {}) => translated(about(key), () => store.put(key, source, how)),
    get: (key, how = {}) => translated(about(key), () => store.get(key, how)),
    stat: (key, how = {}) => translated(about(key), () => store.stat(key, how)),
    list: (prefix, { signal } = {}) => listObjects(store.connection, root, prefix, signal),
    delete: (keys, how = {}) => store.delete(keys, about, how),
    close: () => store.connection.close(),
  };
}

class SftpStore {
  readonly connection: Connection;
  readonly root: Root;
  readonly #publisher: Publisher;
  readonly #fileMode: number;

  constructor(options: SftpStoreOptions, { log }: Pick<Host, 'log'>) {
    this.connection = new Connection(options, log);
    this.root = new Root(options, log);
    this.#publisher = new Publisher(this.root);
    this.#fileMode = options.fileMode;
  }

  async put(key: string, source: ByteSource, how: PutOptions): Promise<ObjectInfo> {
    const path = this.root.locate(key);
    if (how.ifMatch !== undefined)
      throw new KeyframeError('UNSUPPORTED', `object '${key}': store-sftp has no conditional replace`);
    if (how.retainUntil !== undefined || how.storageClass !== undefined)
      throw new KeyframeError(
        'UNSUPPORTED',
        `object '${key}': an SFTP server has neither retention nor storage classes`,
      );
    return this.connection.use(async (channel) => {
      if (how.ifAbsent === true) await this.#refuseExisting(channel, key, path);
      const staged = `${this.root.staging}/${randomUUID()}`;
      try {
        const info = await this.#stage(channel, staged, source, how);
        const publication = { key, staged, path };
        if (how.ifAbsent === true) await this.#publisher.create(channel, publication);
        else await this.#publisher.replace(channel, publication);
        await this.root.syncDirectory(channel, dirname(path));
        await this.root.sweep(channel, info.mtime);
        return infoOf(key, info);
      } finally {
        const removed = channel.remove(staged).catch(ignoringStatus(Status.NO_SUCH_FILE));
        // Whoever gave up waits for nothing, and what a lost connection leaves is swept away a day later.
        if (how.signal?.aborted === true || !channel.alive) removed.catch(() => undefined);
        else await removed;
      }
    }, how);
  }

  /** Spares the sending of bytes that could not be published. What is not there yet, the link decides about. */
  async #refuseExisting(channel: Channel, key: string, path: string): Promise<void> {
    const found = await describe(channel, path);
    if (found === undefined) return;
    if (found.isDirectory()) throw clash(key, 'the key is a prefix of other objects');
    // The writer that was first may have crashed before this; who is told `exists` may take it for durable.
    await this.root.syncDirectory(channel, dirname(path));
    throw alreadyExists(key);
  }

  /** Writes a source to a staging file and makes its bytes durable. */
  async #stage(
    channel: Channel,
    path: string,
    source: ByteSource,
    { signal }: Abortable,
  ): Promise<{ readonly size: number; readonly mtime: number }> {
    const handle = await channel.open(path, 'wx', this.#fileMode, { signal }).catch(async (error: unknown) => {
      if (statusOf(error) !== Status.NO_SUCH_FILE) throw error;
      await this.root.confirm(channel);
      await this.root.make(channel, this.root.staging);
      await this.root.confirm(channel); // known from now on
      return channel.open(path, 'wx', this.#fileMode, { signal });
    });
    try {
      const sizeBytes = await writeStream(channel, handle, abortable(openExact(source), signal), { signal });
      await this.root.sync(channel, handle);
      const { size, mtime } = await channel.fstat(handle, { signal });
      if (size !== sizeBytes)
        throw new KeyframeError('UNAVAILABLE', `the server kept ${size} of ${sizeBytes} bytes`, { details: { path } });
      return { size, mtime };
    } catch (error) {
      await this.root.assertRoom(channel, error);
      throw error;
    } finally {
      const closed = channel.close(handle);
      if (signal?.aborted === true || !channel.alive) closed.catch(() => undefined);
      else await closed;
    }
  }

  async get(key: string, { range, signal }: GetOptions): Promise<ByteStream> {
    const path = this.root.locate(key);
    const channel = await this.connection.acquire({ signal });
    let handle: Buffer | undefined;
    try {
      const [opened, link] = await Promise.all([
        channel.open(path, 'r', undefined, { signal }).catch(ignoringStatus(Status.NO_SUCH_FILE)),
        describe(channel, path),
      ]);
      handle = opened;
      if (link?.isSymbolicLink() === true) throw symbolicLink({ key, path });
      if (handle === undefined) {
        await this.root.confirm(channel);
        throw new KeyframeError('NOT_FOUND', `object '${key}': not found`, { details: { key, path } });
      }
      const found = await channel.fstat(handle, { signal });
      if (!found.isFile()) throw new KeyframeError('NOT_FOUND', `object '${key}': a prefix, not an object`);
      const start = Math.min(range?.start ?? 0, found.size);
      const end = Math.max(start, Math.min(range?.end ?? found.size, found.size));
      return reading(channel, { handle, start, end }, { key, path }, signal);
    } catch (error) {
      release(channel, handle);
      throw error;
    }
  }

  async stat(key: string, options: Abortable): Promise<ObjectInfo | undefined> {
    const path = this.root.locate(key);
    return this.connection.use(async (channel) => {
      const found = await channel.lstat(path, options).catch(ignoringStatus(Status.NO_SUCH_FILE));
      if (found === undefined) await this.root.confirm(channel);
      if (found?.isSymbolicLink() === true) throw symbolicLink({ key, path });
      return found?.isFile() === true ? infoOf(key, found) : undefined;
    }, options);
  }

  async delete(keys: readonly string[], about: (key: string) => Place, options: Abortable): Promise<void> {
    options.signal?.throwIfAborted();
    if (keys.length === 0) return;
    await this.connection.use(async (channel) => {
      const directories = new Set<string>();
      const faults: unknown[] = [];
      const queue = [...keys];
      const worker = async (): Promise<void> => {
        for (let key = queue.shift(); key !== undefined && channel.alive; key = queue.shift()) {
          options.signal?.throwIfAborted();
          const place = about(key);
          try {
            if (await this.#remove(channel, key, place.path)) directories.add(dirname(place.path));
          } catch (error) {
            faults.push(translate(place, error));
          }
        }
      };
      await Promise.all(Array.from({ length: Math.min(REMOVALS, keys.length) }, worker));
      for (const path of directories)
        await translated({ key: '', path }, async () => {
          // Before anything else is deleted, so that no order of deletion is turned round by a power cut.
          await this.root.syncDirectory(channel, path).catch(ignoringStatus(Status.NO_SUCH_FILE));
          await this.root.prune(channel, path);
        });
      if (faults.length > 0) throw faults[0];
    }, options);
  }

  /** Whether there was an object. */
  async #remove(channel: Channel, key: string, path: string): Promise<boolean> {
    this.root.locate(key);
    try {
      await channel.remove(path);
      return true;
    } catch (error) {
      if (statusOf(error) === undefined) throw error;
      const found = await describe(channel, path);
      if (found !== undefined && !found.isDirectory()) throw error;
      if (found === undefined) await this.root.confirm(channel);
      return false;
    }
  }
}

/** The bytes of an open file, which is closed when its reader is done or leaves. */
async function* reading(
  channel: Channel,
  extent: Extent,
  place: Place,
  signal: AbortSignal | undefined,
): AsyncGenerator<Uint8Array> {
  try {
    yield* readExtent(channel, extent, place.key, { signal });
  } catch (error) {
    throw translate(place, error);
  } finally {
    release(channel, extent.handle);
  }
}

function release(channel: Channel, handle: Buffer | undefined): void {
  channel.users -= 1;
  // Nobody waits for it: a file that was only read has nothing to lose.
  if (handle !== undefined && channel.alive) channel.close(handle).catch(() => undefined);
}
