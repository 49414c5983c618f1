import type { ObjectInfo, Store } from '@keyframe/contracts';

/**
 * Sizes of objects asked for in the order of their keys, from one listing. What a store tells out of order is not found:
 * creating it then says that it is there.
 */
export class Lookup {
  readonly #listing: AsyncIterator<ObjectInfo>;
  #head: ObjectInfo | undefined;
  #ended = false;

  constructor(store: Store, prefix: string, signal: AbortSignal | undefined) {
    this.#listing = store.list(prefix, { signal })[Symbol.asyncIterator]();
  }

  async sizeOf(key: string): Promise<number | undefined> {
    while (!this.#ended && (this.#head === undefined || this.#head.key < key)) {
      const step = await this.#listing.next();
      this.#ended = step.done === true;
      this.#head = step.done === true ? undefined : step.value;
    }
    return this.#head?.key === key ? this.#head.sizeBytes : undefined;
  }

  async close(): Promise<void> {
    await this.#listing.return?.();
  }
}
