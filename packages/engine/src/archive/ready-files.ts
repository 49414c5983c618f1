/** What waits to be archived, in the order in which PostgreSQL will offer it. @packageDocumentation */
import { opendir } from 'node:fs/promises';
import { parseWalFileName } from '@keyframe/contracts';

const READY = '.ready';
/** How often the directory is listed at most: it may have 20,000 entries, and more that are not ready. */
const LIST_EVERY_MS = 200;

/** The files that `archive_status` lists as ready. It is listed when the last list is used up, not for each file. */
export class ReadyFiles {
  readonly #list: () => AsyncIterable<string>;
  #queue: string[] = [];
  /** When what is still listed was dealt with. */
  readonly #settled = new Map<string, number>();
  #listedAt = -Infinity;

  constructor(status: string, list: () => AsyncIterable<string> = () => entriesOf(status)) {
    this.#list = list;
  }

  /** Says that a file is durable, although it is listed for a while yet. */
  settle(name: string, at: number): void {
    this.#settled.set(name, at);
  }

  /** When that was; -Infinity where it was not. */
  settledAt(name: string): number {
    return this.#settled.get(name) ?? -Infinity;
  }

  /**
   * The next file that is neither settled nor to be skipped. Lists again only if something happened since it did:
   * PostgreSQL asks for what comes while nothing happens.
   */
  async next(activeAt: number, skip: (name: string) => boolean): Promise<string | undefined> {
    const name = this.#shift(skip);
    if (name !== undefined || this.#listedAt > activeAt || performance.now() - this.#listedAt < LIST_EVERY_MS)
      return name;
    await this.#refill();
    return this.#shift(skip);
  }

  #shift(skip: (name: string) => boolean): string | undefined {
    for (let name = this.#queue.pop(); name !== undefined; name = this.#queue.pop())
      if (!this.#settled.has(name) && !skip(name)) return name;
    return undefined;
  }

  /** One pass over the directory, however many there are. */
  async #refill(): Promise<void> {
    this.#listedAt = performance.now();
    const names = new Set<string>();
    for await (const entry of this.#list()) {
      const name = entry.endsWith(READY) ? entry.slice(0, -READY.length) : '';
      if (parseWalFileName(name) !== undefined) names.add(name);
    }
    for (const name of this.#settled.keys()) if (!names.has(name)) this.#settled.delete(name);
    this.#queue = [...names].toSorted(archiverOrder).toReversed();
  }
}

async function* entriesOf(status: string): AsyncGenerator<string> {
  for await (const { name } of await opendir(status, { bufferSize: 1024 })) yield name;
}

const isHistory = (name: string): boolean => name.endsWith('.history');

/** @see ready_file_comparator in src/backend/postmaster/pgarch.c */
function archiverOrder(one: string, other: string): number {
  if (isHistory(one) !== isHistory(other)) return isHistory(one) ? -1 : 1;
  return one < other ? -1 : 1;
}
