import { lstat, mkdir, opendir, realpath, rm, rmdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { assertObjectKey, type Host, KeyframeError } from '@keyframe/contracts';
import { ignoringSystem, symbolicLink, syncDirectory, systemCode } from './system.ts';

/** Where objects are written before they are published. On the store's own file system, so that publishing is a link. */
const STAGING = '.keyframe-staging';
/** Names directly under the root that are never objects. */
export const RESERVED: ReadonlySet<string> = new Set([STAGING, 'lost+found']);
/** A staged file this old has no writer any more. */
const STALE_MS = 24 * 3_600_000;
/** Directories we remember as free of symbolic links; forgotten all at once beyond this. */
const REMEMBERED = 10_000;

/** The store's directory: resolved once, watched for a change of the file system below it. */
export class Root {
  /** As configured. */
  readonly directory: string;
  readonly #mode: number;
  readonly #host: Pick<Host, 'log' | 'now'>;
  readonly #plain = new Set<string>();
  #seen: { readonly path: string; readonly dev: number; readonly ino: number } | undefined;
  #swept: Promise<void> | undefined;

  constructor(directory: string, mode: number, host: Pick<Host, 'log' | 'now'>) {
    this.directory = directory;
    this.#mode = mode;
    this.#host = host;
  }

  /** The real path of the directory; the configured one while it does not exist. */
  async path(): Promise<string> {
    if (this.#seen !== undefined) return this.#seen.path;
    // The directory may itself be a symbolic link: that is the operator's way to name it.
    const path = await realpath(this.directory).catch(ignoringSystem('ENOENT'));
    if (path === undefined) return this.directory;
    const { dev, ino } = await lstat(path);
    this.#seen = { path, dev, ino };
    return path;
  }

  /** Where an object lies. Refuses a way there that leads through a symbolic link. */
  async locate(key: string): Promise<string> {
    assertStoreKey(key);
    const path = join(await this.path(), key);
    await this.assertPlain(dirname(path));
    return path;
  }

  /** @throws a system error ELOOP when `directory` is reached through a symbolic link below the root */
  async assertPlain(directory: string): Promise<void> {
    if (this.#plain.has(directory)) return;
    if (this.#plain.size >= REMEMBERED) this.#plain.clear();
    const root = await this.path();
    for (let at = directory; at.length > root.length; at = dirname(at)) {
      const real = await realpath(at).catch(ignoringSystem('ENOENT', 'ENOTDIR'));
      if (real === undefined) continue; // nothing there to follow, but what stands above it may be a link
      if (real !== at) throw symbolicLink(at);
      this.#plain.add(at);
      return;
    }
  }

  /**
   * Called when something was not found: that is an answer only while the directory is the one we knew. A file system
   * unmounted meanwhile leaves an empty directory, which proves nothing.
   * @throws {KeyframeError} UNAVAILABLE
   */
  async confirm(): Promise<void> {
    const known = this.#seen;
    if (known === undefined) return;
    const now = await lstat(known.path).catch(ignoringSystem('ENOENT'));
    if (now?.dev === known.dev && now.ino === known.ino) return;
    throw new KeyframeError('UNAVAILABLE', `the store's directory '${known.path}' is gone or was replaced`, {
      hint: `Mount the file system of '${known.path}' again (findmnt ${known.path}).`,
      details: { directory: known.path },
    });
  }

  /** The staging directory, made when missing. The first call sweeps away what crashed writers left. */
  async staging(): Promise<string> {
    this.#swept ??= this.#prepareStaging().catch((error: unknown) => {
      this.#swept = undefined; // the next put tries again
      throw error;
    });
    await this.#swept;
    return join(await this.path(), STAGING);
  }

  /** Makes a staging directory anew that was found missing. */
  async renewStaging(): Promise<void> {
    this.#swept = undefined;
    await this.staging();
  }

  async #prepareStaging(): Promise<void> {
    await this.confirm();
    await this.make(join(await this.path(), STAGING));
    const staging = join(await this.path(), STAGING);
    const oldest = this.#host.now().getTime() - STALE_MS;
    for await (const entry of await opendir(staging)) {
      const path = join(staging, entry.name);
      try {
        if ((await lstat(path)).mtimeMs < oldest) await rm(path, { force: true });
      } catch (error) {
        const system = systemCode(error);
        if (system === undefined) throw error;
        // Another writer may have removed it, or it is another user's: neither hinders this put.
        if (system !== 'ENOENT') this.#host.log.warn('a stale staging file stays', { path, system });
      }
    }
  }

  /** Creates a directory and its ancestors, each durable before this resolves. */
  async make(path: string): Promise<void> {
    const first = await mkdir(path, { recursive: true, mode: this.#mode });
    if (first === undefined) return;
    for (let made = path; made.length >= first.length; made = dirname(made)) await syncDirectory(dirname(made));
  }

  /** Removes `directory` and its ancestors below the root as long as they are empty. */
  async prune(directory: string): Promise<void> {
    const root = await this.path();
    for (let at = directory; at.length > root.length; at = dirname(at)) {
      this.#plain.delete(at);
      try {
        await rmdir(at);
      } catch (error) {
        if (systemCode(error) === undefined) throw error;
        return; // not empty, already gone, or not ours to remove: an empty directory harms nobody
      }
    }
  }
}

/** @throws {KeyframeError} INVALID_OPTION for a key that would leave the root or meet the store's own files */
export function assertStoreKey(key: string): void {
  assertObjectKey(key);
  if (RESERVED.has(key.split('/', 1)[0] ?? ''))
    throw new KeyframeError('INVALID_OPTION', `object key '${key}' is reserved for the store itself`);
}
