/** A network between a process and its store. @packageDocumentation */
import { setTimeout as sleep } from 'node:timers/promises';
import type { ByteStream } from '@keyframe/contracts';

/** What it is like, for each direction together. */
export interface LinkOptions {
  /** What each request waits before it is answered, milliseconds. */
  readonly latencyMs: number;
  readonly bytesPerSecond: number;
}

/** One wire, shared by all requests of a process. */
export class Link {
  readonly #options: LinkOptions;
  /** When the last byte that was promised has passed. */
  #freeAt = 0;

  constructor(options: LinkOptions) {
    this.#options = options;
  }

  async answer<T>(work: () => Promise<T>): Promise<T> {
    await sleep(this.#options.latencyMs);
    return work();
  }

  /** The same bytes, as fast as they pass. */
  async *carry(bytes: ByteStream): AsyncGenerator<Uint8Array> {
    for await (const chunk of bytes) {
      const now = performance.now();
      this.#freeAt = Math.max(now, this.#freeAt) + (chunk.length / this.#options.bytesPerSecond) * 1000;
      // Timers count whole milliseconds: what is less is waited for with what comes next.
      if (this.#freeAt - now >= 1) await sleep(this.#freeAt - now);
      yield chunk;
    }
  }
}
