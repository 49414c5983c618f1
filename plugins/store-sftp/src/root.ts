import { dirname } from 'node:path/posix';
import { assertObjectKey, KeyframeError, type Log } from '@keyframe/contracts';
import type { Stats } from 'ssh2';
import type { Channel } from './channel.ts';
import { diskFull, ignoringStatus, type Place, Status, statusOf } from './faults.ts';
import type { SftpStoreOptions } from './options.ts';

/** Where objects are written before they are published: on the store's own file system. */
const STAGING = '.keyframe-staging';
/** Names directly under the root that are never objects. */
export const RESERVED: ReadonlySet<string> = new Set([STAGING, 'lost+found']);
/** A staged file this old has no writer any more. */
const STALE_SECONDS = 24 * 3600;
/** A directory may be pruned by others as soon as it is made; more often than this is no coincidence. */
const ATTEMPTS = 5;

/** The store's directory on the server. */
export class Root {
  /** As configured, without slashes at its end. */
  readonly directory: string;
  readonly #options: SftpStoreOptions;
  readonly #log: Log;
  #seen = false;
  #swept = false;
  #cannotSync = false;

  constructor(options: SftpStoreOptions, log: Log) {
    this.directory = options.directory.replace(/(?<=.)\/+$/, '');
    this.#options = options;
    this.#log = log;
  }

  get staging(): string {
    return `${this.directory}/${STAGING}`;
  }

  locate(key: string): string {
    assertObjectKey(key);
    if (RESERVED.has(key.split('/', 1)[0] ?? ''))
      throw new KeyframeError('INVALID_OPTION', `object key '${key}' is reserved for the store itself`);
    return `${this.directory}/${key}`;
  }

  /**
   * Called when something was not found: that is an answer only while the directory is the one we knew. A file system that
   * was unmounted on the server leaves an empty directory, which proves nothing.
   * @throws {KeyframeError} UNAVAILABLE
   */
  async confirm(channel: Channel): Promise<void> {
    if ((await describe(channel, this.staging)) !== undefined) this.#seen = true;
    else if (this.#seen)
      throw new KeyframeError('UNAVAILABLE', `the store's directory '${this.directory}' is gone or was replaced`, {
        hint: `Mount the file system of '${this.directory}' on the SFTP server again (findmnt ${this.directory}).`,
        details: { directory: this.directory },
      });
  }

  /** Makes a directory and what is missing above it, each durable before this resolves. */
  async make(channel: Channel, path: string): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        await channel.makeDirectory(path, this.#options.directoryMode);
        return await this.syncDirectory(channel, dirname(path));
      } catch (error) {
        const status = statusOf(error);
        const found = status === undefined ? undefined : await describe(channel, path);
        if (found?.isDirectory() === true || found?.isSymbolicLink() === true) return;
        await this.assertRoom(channel, error);
        // Between our making and our look, others may have made and pruned it, and what is above it.
        const mayBeRace = found === undefined && (status === Status.NO_SUCH_FILE || status === Status.FAILURE);
        if (!mayBeRace || path === '/' || attempt === ATTEMPTS) throw error;
        if (status === Status.NO_SUCH_FILE) await this.make(channel, dirname(path));
      }
    }
  }

  /** A new or removed name is durable only once its directory is synced. */
  async syncDirectory(channel: Channel, path: string): Promise<void> {
    if (this.#cannotSync) return;
    const handle = await channel.open(path, 'r');
    try {
      await this.sync(channel, handle);
    } finally {
      await channel.close(handle);
    }
  }

  /**
   * Makes what was written durable.
   * @throws {KeyframeError} UNSUPPORTED where the server cannot, and was not said to be taken all the same
   */
  async sync(channel: Channel, handle: Buffer): Promise<void> {
    if (this.#cannotSync) return;
    try {
      await channel.fsync(handle);
    } catch (error) {
      if (statusOf(error) !== Status.UNSUPPORTED) throw error;
      if (this.#options.sync === 'required')
        throw new KeyframeError('UNSUPPORTED', 'the SFTP server cannot flush what is written to its disk', {
          cause: error,
          hint: 'Use a server with fsync@openssh.com, such as OpenSSH; or set `sync: ifOffered` of the store, and what was acknowledged may be lost when that server crashes.',
        });
      this.#cannotSync = true;
      this.#log.warn('the SFTP server cannot flush to its disk: what it acknowledged may be lost when it crashes');
    }
  }

  /** Tells a full disk from the other reasons for which a server writes nothing. @throws {KeyframeError} UNAVAILABLE */
  async assertRoom(channel: Channel, cause: unknown): Promise<void> {
    if (statusOf(cause) !== Status.FAILURE) return;
    for (let at = this.directory; ; at = dirname(at)) {
      if (await channel.isFull(at)) throw diskFull(at, cause);
      if (at === '/' || (await describe(channel, at)) !== undefined) return;
    }
  }

  /** Removes once what crashed writers left. `now`: the server's clock in seconds, which alone its files are dated by. */
  async sweep(channel: Channel, now: number): Promise<void> {
    if (this.#swept) return;
    this.#swept = true;
    const handle = await channel.openDirectory(this.staging);
    try {
      for (;;) {
        const entries = await channel.readDirectory(handle);
        if (entries.length === 0) return;
        for (const { filename, attrs } of entries) {
          if (attrs.mtime >= now - STALE_SECONDS || filename === '.' || filename === '..') continue;
          const path = `${this.staging}/${filename}`;
          await channel.remove(path).catch((error: unknown) => {
            const status = statusOf(error);
            if (status === undefined) throw error;
            // Another writer may have removed it, or it is another user's: neither hinders this put.
            if (status !== Status.NO_SUCH_FILE) this.#log.warn('a stale staging file stays', { path, status });
          });
        }
      }
    } finally {
      await channel.close(handle);
    }
  }

  /** Removes `directory` and its ancestors below the root as long as they are empty. */
  async prune(channel: Channel, directory: string): Promise<void> {
    for (let at = directory; at.length > this.directory.length; at = dirname(at)) {
      try {
        await channel.removeDirectory(at);
      } catch (error) {
        if (statusOf(error) === undefined) throw error;
        return; // not empty, already gone, or not ours to remove: an empty directory harms nobody
      }
    }
  }
}

/** What lies at a path; `undefined` when nothing does. Follows no link. */
export async function describe(channel: Channel, path: string): Promise<Stats | undefined> {
  return channel.lstat(path).catch(ignoringStatus(Status.NO_SUCH_FILE));
}

/** A symbolic link stands where an object may. */
export function symbolicLink({ key, path }: Place): KeyframeError {
  return new KeyframeError('ACCESS_DENIED', `object '${key}': a symbolic link stands in its place`, {
    hint: `Replace the symbolic link '${path}' on the server by what it points to: the store follows none.`,
    details: { key, path },
  });
}
