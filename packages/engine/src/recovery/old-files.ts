import { closeSync, constants, openSync, read, readSync } from 'node:fs';

/** Ranges up to this are read at once: to wait for the thread pool would take longer, and a small file has one or two. */
const READ_AT_ONCE_BYTES = 64 << 10;
/** Files open for such reads. After many increments the pages of one file lie in as many frames, and come one by one. */
const FILES_KEPT = 64;
const FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW;

/** Reads what an old data directory holds. */
export class OldFiles {
  /** The one used longest ago comes first. Only reads that end before anything else happens use these. */
  readonly #open = new Map<string, number>();

  /** Fills `into`; false where the file ends early. */
  async read(path: string, offsetBytes: number, into: Uint8Array): Promise<boolean> {
    if (into.length <= READ_AT_ONCE_BYTES) return readAtOnce(this.#kept(path), offsetBytes, into);
    const fd = openSync(path, FLAGS);
    try {
      for (let at = 0; at < into.length;) {
        const bytes = await readLater(fd, into, at, offsetBytes + at);
        if (bytes === 0) return false;
        at += bytes;
      }
      return true;
    } finally {
      closeSync(fd);
    }
  }

  close(): void {
    for (const fd of this.#open.values()) closeSync(fd);
    this.#open.clear();
  }

  #kept(path: string): number {
    const fd = this.#open.get(path) ?? openSync(path, FLAGS);
    this.#open.delete(path);
    this.#open.set(path, fd);
    if (this.#open.size > FILES_KEPT)
      for (const [oldest, oldestFd] of this.#open) {
        this.#open.delete(oldest);
        closeSync(oldestFd);
        break;
      }
    return fd;
  }
}

function readAtOnce(fd: number, offsetBytes: number, into: Uint8Array): boolean {
  for (let at = 0; at < into.length;) {
    const bytes = readSync(fd, into, at, into.length - at, offsetBytes + at);
    if (bytes === 0) return false;
    at += bytes;
  }
  return true;
}

function readLater(fd: number, into: Uint8Array, at: number, position: number): Promise<number> {
  return new Promise((resolve, reject) => {
    read(fd, into, at, into.length - at, position, (error, bytes) => {
      if (error === null) resolve(bytes);
      else reject(error);
    });
  });
}
