/** Calls that never end. A server or a mount that hangs answers nothing at all, and no adapter need notice. @packageDocumentation */
import { type ByteSource, type ByteStream, KeyframeError } from '@keyframe/contracts';

/** When a call that moves nothing is given up. */
export interface StallPolicy {
  /** Longest time without a byte, an answer or a listed key, milliseconds. */
  readonly idleMs: number;
  /** What an adapter took but may still be sending buys it more time, at this speed: a slow line is no stall. */
  readonly minBytesPerSecond: number;
}

/** A minute, and a line of a megabit a second is good enough. */
export const DEFAULT_STALL: StallPolicy = { idleMs: 60_000, minBytesPerSecond: 128 << 10 };

/** More than this no adapter has under way: its parts are smaller. */
const MAX_UNDER_WAY_BYTES = 256 << 20;

/** Watches one call. */
export class StallGuard {
  readonly #policy: StallPolicy;
  readonly #what: string;
  readonly #abort = new AbortController();
  #timer: NodeJS.Timeout | undefined;
  #bytes = 0;
  /** Rejects the call that runs. */
  #fail: ((fault: unknown) => void) | undefined;

  /** What the call is given: it aborts with the caller's own, or when nothing moves. */
  readonly signal: AbortSignal;

  constructor(policy: StallPolicy, what: string, signal: AbortSignal | undefined) {
    this.#policy = policy;
    this.#what = what;
    this.signal = signal === undefined ? this.#abort.signal : AbortSignal.any([signal, this.#abort.signal]);
  }

  /** The call, or the fault of a call that nothing came of. It goes on aborted then, and its end is nobody's business. */
  async run<T>(call: () => Promise<T>): Promise<T> {
    try {
      return await new Promise<T>((resolve, reject) => {
        this.#fail = reject;
        this.#watch();
        call().then(resolve, reject);
      });
    } finally {
      this.#fail = undefined;
      this.#rest();
    }
  }

  /** `source`, of which every chunk that is taken is a sign of life. Waiting for the source itself is no stall of the store. */
  source(source: ByteSource): ByteSource {
    const watched = async function* (guard: StallGuard, stream: ByteStream): ByteStream {
      guard.#rest();
      for await (const chunk of stream) {
        guard.#bytes += chunk.length;
        guard.#watch();
        yield chunk;
        guard.#rest();
      }
      guard.#watch();
    };
    return { sizeBytes: source.sizeBytes, open: () => watched(this, source.open()) };
  }

  /** The call has so many things to do one after the other, each of which may take a moment. */
  expect(steps: number): void {
    this.#bytes += (steps * this.#policy.minBytesPerSecond) / 10;
    this.#watch();
  }

  /** What is read from the store; each piece has the whole time. */
  async *stream<T>(items: AsyncIterable<T>): AsyncGenerator<T> {
    const iterator = items[Symbol.asyncIterator]();
    let ended = false;
    try {
      for (;;) {
        const next = await this.run(() => iterator.next());
        if (next.done === true) {
          ended = true;
          return;
        }
        yield next.value;
      }
    } finally {
      // One that hangs cannot be released before that ends.
      const released = ended ? undefined : iterator.return?.();
      if (this.#abort.signal.aborted) released?.catch(() => undefined);
      else await released;
    }
  }

  #watch(): void {
    const { idleMs, minBytesPerSecond } = this.#policy;
    clearTimeout(this.#timer);
    if (this.#fail === undefined) return;
    const limitMs = idleMs + (Math.min(this.#bytes, MAX_UNDER_WAY_BYTES) / minBytesPerSecond) * 1_000;
    this.#timer = setTimeout(() => {
      const seconds = Math.round(limitMs / 100) / 10;
      const fault = new KeyframeError(
        'UNAVAILABLE',
        `the store gave no sign of life for ${seconds} s (${this.#what})`,
        {
          hint: 'Look at the server or the mount of the store; `keyframe check store <name>` shows what it does.',
          details: { stalled: true },
        },
      );
      this.#abort.abort(fault);
      this.#fail?.(fault);
    }, limitMs);
  }

  #rest(): void {
    clearTimeout(this.#timer);
  }
}
