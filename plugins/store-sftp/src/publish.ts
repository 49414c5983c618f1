import { randomUUID } from 'node:crypto';
import { dirname } from 'node:path/posix';
import { KeyframeError } from '@keyframe/contracts';
import type { Channel } from './channel.ts';
import { ignoringStatus, Status, statusOf } from './faults.ts';
import { describe, type Root } from './root.ts';

/** A directory may be pruned between its making and our link into it; more often than this is no coincidence. */
const ATTEMPTS = 5;

/** What is to appear where. */
export interface Publication {
  readonly key: string;
  readonly staged: string;
  readonly path: string;
}

/** How a server can be made to give a file its name. */
export class Publisher {
  readonly #root: Root;
  #byRename = false;
  #refusal: Promise<boolean> | undefined;

  constructor(root: Root) {
    this.#root = root;
  }

  /** Gives the staged file its name, which must be free. @throws {KeyframeError} ALREADY_EXISTS, CONFLICT, UNSUPPORTED */
  create(channel: Channel, publication: Publication): Promise<void> {
    return this.#inDirectory(channel, publication, () => this.#create(channel, publication));
  }

  /** Gives the staged file its name, whatever has it. @throws {KeyframeError} CONFLICT, UNSUPPORTED */
  replace(channel: Channel, publication: Publication): Promise<void> {
    const { staged, path } = publication;
    return this.#inDirectory(channel, publication, async () => {
      try {
        await channel.replace(staged, path);
      } catch (error) {
        if (statusOf(error) !== Status.UNSUPPORTED) throw error;
        if ((await describe(channel, path)) !== undefined) throw noReplace(path, error);
        await channel.rename(staged, path);
      }
    });
  }

  async #create(channel: Channel, { staged, path }: Publication): Promise<void> {
    if (!this.#byRename)
      try {
        // Fails when the name exists, so of two writers one wins.
        return await channel.link(staged, path);
      } catch (error) {
        if (statusOf(error) !== Status.UNSUPPORTED) throw error;
        this.#byRename = true;
      }
    this.#refusal ??= this.#refusesRename(channel);
    this.#refusal.catch(() => (this.#refusal = undefined));
    if (!(await this.#refusal)) throw noCreateOnly(path);
    await channel.rename(staged, path);
  }

  /** Whether a rename onto a name that exists is refused, as the protocol wants it: tried once. */
  async #refusesRename(channel: Channel): Promise<boolean> {
    const [one, other] = [randomUUID(), randomUUID()].map((name) => `${this.#root.staging}/${name}`) as [
      string,
      string,
    ];
    try {
      for (const path of [one, other]) await channel.close(await channel.open(path, 'wx', 0o600));
      return await channel.rename(one, other).then(
        () => false,
        (error: unknown) => {
          if (statusOf(error) === undefined) throw error;
          return true;
        },
      );
    } finally {
      for (const path of [one, other]) await channel.remove(path).catch(ignoringStatus(Status.NO_SUCH_FILE));
    }
  }

  async #inDirectory(channel: Channel, { key, path }: Publication, publish: () => Promise<void>): Promise<void> {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await publish();
      } catch (error) {
        const status = statusOf(error);
        if (status === undefined) throw error;
        if (status !== Status.NO_SUCH_FILE) throw await this.#meaning(channel, { key, path }, error);
        await this.#root.confirm(channel);
        if (attempt === ATTEMPTS)
          throw new KeyframeError(
            'UNAVAILABLE',
            `object '${key}': its directory or staging file was removed while it was written`,
            {
              cause: error,
              details: { key },
            },
          );
        await this.#makeParent(channel, key, path);
      }
    }
  }

  async #makeParent(channel: Channel, key: string, path: string): Promise<void> {
    try {
      await this.#root.make(channel, dirname(path));
    } catch (error) {
      if (statusOf(error) === undefined) throw error;
      for (let at = dirname(path); at.length > this.#root.directory.length; at = dirname(at))
        if ((await describe(channel, at))?.isFile() === true)
          throw clash(key, 'a prefix of the key is an object', error);
      throw error;
    }
  }

  /** "Failure" is all that version 3 of the protocol says of a name that is taken. */
  async #meaning(channel: Channel, { key, path }: Omit<Publication, 'staged'>, error: unknown): Promise<unknown> {
    const found = await describe(channel, path);
    if (found?.isDirectory() === true) return clash(key, 'the key is a prefix of other objects', error);
    if (found !== undefined && statusOf(error) === Status.FAILURE) {
      // The writer that was first may have crashed before this; who is told `exists` may take it for durable.
      await this.#root.syncDirectory(channel, dirname(path));
      return alreadyExists(key, error);
    }
    await this.#root.assertRoom(channel, error);
    return error;
  }
}

/** An object of that key is there. */
export function alreadyExists(key: string, cause?: unknown): KeyframeError {
  return new KeyframeError('ALREADY_EXISTS', `object '${key}': already exists`, { cause, details: { key } });
}

/** A file system cannot hold both `a` and `a/b`, which a flat namespace could. */
export function clash(key: string, why: string, cause?: unknown): KeyframeError {
  return new KeyframeError('CONFLICT', `object '${key}': ${why}`, { cause, details: { key } });
}

function noCreateOnly(path: string): KeyframeError {
  return new KeyframeError('UNSUPPORTED', `the SFTP server can create nothing at '${path}' without overwriting it`, {
    hint: 'Use a server with hardlink@openssh.com, or one that refuses to rename onto a name that exists.',
  });
}

function noReplace(path: string, cause: unknown): KeyframeError {
  return new KeyframeError('UNSUPPORTED', `the SFTP server cannot replace '${path}' at once`, {
    cause,
    hint: 'Use a server with posix-rename@openssh.com, such as OpenSSH.',
  });
}
