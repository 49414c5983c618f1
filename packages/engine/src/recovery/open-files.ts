import type { FileHandle } from 'node:fs/promises';

/**
 * The files that a restore is writing. The pages of one file may lie in packs of many backups, so thousands of files can be
 * begun and not complete; a process may mostly have 1024 open.
 */
export class OpenFiles {
  readonly #limit: number;
  readonly #sync: boolean;
  /** The one used longest ago comes first. */
  readonly #open = new Map<number, { readonly handle: Promise<FileHandle>; users: number }>();
  readonly #begun = new Set<number>();

  /** With `sync` a file reaches the disk before it is closed: whoever opens it again may not learn that it did not. */
  constructor(sync: boolean, limit = 256) {
    this.#sync = sync;
    this.#limit = limit;
  }

  /** Whether the file was opened by this before. */
  hasBegun(ordinal: number): boolean {
    return this.#begun.has(ordinal);
  }

  /** Works with a file, opened by `open` unless it is open; `again` when it was before. */
  async use<Result>(
    ordinal: number,
    open: (again: boolean) => Promise<FileHandle>,
    work: (handle: FileHandle) => Promise<Result>,
  ): Promise<Result> {
    const entry = this.#open.get(ordinal) ?? { handle: open(this.#begun.has(ordinal)), users: 0 };
    this.#begun.add(ordinal);
    this.#open.delete(ordinal);
    this.#open.set(ordinal, entry);
    entry.users += 1;
    try {
      return await work(await entry.handle);
    } finally {
      entry.users -= 1;
      await this.#trim();
    }
  }

  /** Closes a file that is complete. */
  async complete(ordinal: number): Promise<void> {
    const entry = this.#open.get(ordinal);
    this.#open.delete(ordinal);
    this.#begun.delete(ordinal);
    await (await entry?.handle)?.close();
  }

  /** Closes what an aborted restore left open. */
  async close(): Promise<void> {
    const handles = await Promise.allSettled([...this.#open.values()].map(({ handle }) => handle));
    this.#open.clear();
    for (const handle of handles) if (handle.status === 'fulfilled') await handle.value.close();
  }

  async #trim(): Promise<void> {
    for (const [ordinal, { handle, users }] of this.#open) {
      if (this.#open.size <= this.#limit) return;
      if (users > 0) continue;
      this.#open.delete(ordinal);
      const idle = await handle;
      try {
        if (this.#sync) await idle.sync();
      } finally {
        await idle.close();
      }
    }
  }
}
