import type { Abortable, KeyframeError } from '@keyframe/contracts';
import type { FileEntry, SFTPWrapper, Stats } from 'ssh2';
import { Status, StatusError, statusOf } from './faults.ts';
import { connectionLost } from './lost.ts';

type Callback<T> = (error: Error | null | undefined, value: T) => void;

/** The part of `statvfs@openssh.com` that tells whether there is room. */
interface FileSystem {
  readonly f_frsize: number;
  readonly f_bavail: number;
  readonly f_files: number;
  readonly f_favail: number;
}

/** Most bytes of a request where the library does not tell: every server of the protocol takes 32 KiB with its header. */
const LEAST_REQUEST_BYTES = 31 * 1024;
const MOST_REQUEST_BYTES = 128 * 1024;

/** One SFTP session: requests as promises that end when the connection does. */
export class Channel {
  /** Operations that use it now. */
  users = 0;
  /** Most bytes that one read or write asks for. */
  readonly requestBytes: number;
  readonly #sftp: SFTPWrapper;
  readonly #where: string;
  readonly #waiting = new Set<(error: Error) => void>();
  #fault: KeyframeError | undefined;

  constructor(sftp: SFTPWrapper, where: string) {
    this.#sftp = sftp;
    this.#where = where;
    // What `limits@openssh.com` told, which the library keeps to itself: a longer request would be cut in two that wait for each other.
    const told = ['_maxReadLen', '_maxWriteLen'].map((name): unknown => Reflect.get(sftp, name));
    const known = told.filter((value) => typeof value === 'number' && value >= LEAST_REQUEST_BYTES) as number[];
    this.requestBytes = known.length === told.length ? Math.min(MOST_REQUEST_BYTES, ...known) : LEAST_REQUEST_BYTES;
    sftp.on('error', (error: Error) => this.fail(error));
    for (const event of ['end', 'close']) sftp.on(event, () => this.fail(undefined));
  }

  get alive(): boolean {
    return this.#fault === undefined;
  }

  /** Ends all requests: the library forgets those that it sends over a channel that is closed. */
  fail(cause: unknown): void {
    this.#fault ??= connectionLost(this.#where, cause);
    for (const reject of this.#waiting) reject(this.#fault);
  }

  open(path: string, flags: 'r' | 'wx', mode?: number, options?: Abortable): Promise<Buffer> {
    return this.#call<Buffer>(
      (sftp, done) => (mode === undefined ? sftp.open(path, flags, done) : sftp.open(path, flags, { mode }, done)),
      options,
      (handle) => this.#sftp.close(handle, () => undefined),
    );
  }

  close(handle: Buffer): Promise<void> {
    return this.#call<void>((sftp, done) => sftp.close(handle, (error) => done(error)));
  }

  /** Resolves with how many bytes came; 0 at the end of the file. */
  read(handle: Buffer, into: Buffer, at: number, position: number, options?: Abortable): Promise<number> {
    return this.#call<number>(
      (sftp, done) => sftp.read(handle, into, at, into.length - at, position, (error, count) => done(error, count)),
      options,
    );
  }

  /** The bytes are copied before this returns. */
  write(handle: Buffer, bytes: Buffer, position: number, options?: Abortable): Promise<void> {
    return this.#call<void>(
      (sftp, done) => sftp.write(handle, bytes, 0, bytes.length, position, (error) => done(error)),
      options,
    );
  }

  fstat(handle: Buffer, options?: Abortable): Promise<Stats> {
    return this.#call<Stats>((sftp, done) => sftp.fstat(handle, done), options);
  }

  lstat(path: string, options?: Abortable): Promise<Stats> {
    return this.#call<Stats>((sftp, done) => sftp.lstat(path, done), options);
  }

  fsync(handle: Buffer, options?: Abortable): Promise<void> {
    return this.#call<void>((sftp, done) => sftp.ext_openssh_fsync(handle, (error) => done(error)), options);
  }

  /** Fails when `to` exists. */
  link(from: string, to: string): Promise<void> {
    return this.#call<void>((sftp, done) => sftp.ext_openssh_hardlink(from, to, (error) => done(error)));
  }

  /** Fails when `to` exists, says the protocol; not every server keeps that. */
  rename(from: string, to: string): Promise<void> {
    return this.#call<void>((sftp, done) => sftp.rename(from, to, (error) => done(error)));
  }

  /** Replaces `to`. */
  replace(from: string, to: string): Promise<void> {
    return this.#call<void>((sftp, done) => sftp.ext_openssh_rename(from, to, (error) => done(error)));
  }

  remove(path: string): Promise<void> {
    return this.#call<void>((sftp, done) => sftp.unlink(path, (error) => done(error)));
  }

  makeDirectory(path: string, mode: number): Promise<void> {
    return this.#call<void>((sftp, done) => sftp.mkdir(path, { mode }, (error) => done(error)));
  }

  removeDirectory(path: string): Promise<void> {
    return this.#call<void>((sftp, done) => sftp.rmdir(path, (error) => done(error)));
  }

  openDirectory(path: string, options?: Abortable): Promise<Buffer> {
    return this.#call<Buffer>(
      (sftp, done) => sftp.opendir(path, done),
      options,
      (handle) => this.#sftp.close(handle, () => undefined),
    );
  }

  /** Some entries of an open directory; none at its end. */
  async readDirectory(handle: Buffer, options?: Abortable): Promise<readonly FileEntry[]> {
    const END_OF_FILE = 1;
    try {
      return await this.#call<FileEntry[]>((sftp, done) => sftp.readdir(handle, done), options);
    } catch (error) {
      if (statusOf(error) === END_OF_FILE) return [];
      throw error;
    }
  }

  /** Whether the file system of `path` is full; `false` where the server does not tell. */
  async isFull(path: string): Promise<boolean> {
    try {
      const told = await this.#call<FileSystem>((sftp, done) => sftp.ext_openssh_statvfs(path, done));
      // Less than a block of ours may be left although nothing more fits.
      return told.f_bavail * told.f_frsize < MOST_REQUEST_BYTES || (told.f_files > 0 && told.f_favail === 0);
    } catch (error) {
      if (statusOf(error) === undefined) throw error;
      return false;
    }
  }

  #call<T>(
    send: (sftp: SFTPWrapper, done: Callback<T>) => void,
    { signal }: Abortable = {},
    late?: (value: T) => void,
  ): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#fault !== undefined) return reject(this.#fault);
      if (signal?.aborted === true) return reject(signal.reason as Error);
      let isOver = false;
      const settle = (): void => {
        isOver = true;
        this.#waiting.delete(fail);
        signal?.removeEventListener('abort', abort);
      };
      const fail = (error: Error): void => {
        settle();
        reject(error);
      };
      const abort = (): void => fail(signal?.reason as Error);
      this.#waiting.add(fail);
      signal?.addEventListener('abort', abort);
      try {
        send(this.#sftp, (error, value) => {
          if (isOver) {
            if (!error) late?.(value);
          } else if (error) {
            const status = 'code' in error && typeof error.code === 'number' ? error.code : undefined;
            fail(
              status === undefined ? connectionLost(this.#where, error) : new StatusError(status, error.message, error),
            );
          } else {
            settle();
            resolve(value);
          }
        });
      } catch (error) {
        // The library throws when the server does not offer an extension.
        fail(new StatusError(Status.UNSUPPORTED, 'not offered', error));
      }
    });
  }
}
