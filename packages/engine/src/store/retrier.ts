/** Repeats the calls to one store. @packageDocumentation */
import { type ByteStream, type GetOptions, hasCode } from '@keyframe/contracts';
import { DEFAULT_PACE, Pacer } from './pacer.ts';
import { isThrottled, Patience, retryAfterMs, type RetryPolicy } from './patience.ts';
import { DEFAULT_STALL, StallGuard } from './stall.ts';

/** A body that breaks this often in a row without one byte of progress is given up. */
const FRUITLESS_READS = 5;

/** All calls to one store share its pace. */
export class Retrier {
  readonly #policy: RetryPolicy;
  readonly #pacer: Pacer;

  constructor(policy: RetryPolicy) {
    this.#policy = policy;
    this.#pacer = new Pacer(policy.pace ?? DEFAULT_PACE);
  }

  /** Makes attempts until one goes well, or ends in a fault that is not to be endured. */
  async call<T>(key: string, signal: AbortSignal | undefined, attempt: (guard: StallGuard) => Promise<T>): Promise<T> {
    const patience = new Patience(this.#policy, key, signal);
    for (;;) {
      const startedAt = await this.#pacer.start(signal);
      try {
        const guard = this.#guard(key, signal);
        const result = await guard.run(() => attempt(guard));
        this.#pacer.succeeded(startedAt);
        return result;
      } catch (error) {
        this.#learn(startedAt, error);
        await patience.endure(error);
      }
    }
  }

  /** A body that breaks midway is taken up at the byte where it broke: objects never change once written. */
  async read(
    key: string,
    options: GetOptions = {},
    open: (how: GetOptions) => Promise<ByteStream>,
  ): Promise<ByteStream> {
    const openAt = (range: GetOptions['range']): Promise<ByteStream> =>
      this.call(key, options.signal, async (guard) =>
        guard.stream(await open({ ...options, ...(range && { range }), signal: guard.signal })),
      );
    return resuming(await openAt(options.range), options.range, openAt);
  }

  /** A listing that breaks starts again; what was given out already is skipped. */
  async *list<T>(
    prefix: string,
    signal: AbortSignal | undefined,
    open: (guard: StallGuard) => AsyncIterable<T>,
    identity: (item: T) => string,
  ): AsyncGenerator<T> {
    const seen = new Set<string>();
    const patience = new Patience(this.#policy, prefix, signal);
    for (;;) {
      const startedAt = await this.#pacer.start(signal);
      try {
        const guard = this.#guard(prefix, signal);
        for await (const item of guard.stream(open(guard))) {
          const id = identity(item);
          if (seen.has(id)) continue;
          seen.add(id);
          yield item;
        }
        this.#pacer.succeeded(startedAt);
        return;
      } catch (error) {
        this.#learn(startedAt, error);
        await patience.endure(error);
      }
    }
  }

  #guard(key: string, signal: AbortSignal | undefined): StallGuard {
    return new StallGuard(this.#policy.stall ?? DEFAULT_STALL, key, signal);
  }

  #learn(startedAt: number, error: unknown): void {
    if (hasCode(error, 'UNAVAILABLE') && isThrottled(error)) this.#pacer.throttled(startedAt, retryAfterMs(error));
  }
}

async function* resuming(
  first: ByteStream,
  range: GetOptions['range'],
  openAt: (range: GetOptions['range']) => Promise<ByteStream>,
): AsyncGenerator<Uint8Array> {
  let at = range?.start ?? 0;
  for (let stream = first, failures = 0; ;) {
    try {
      for await (const chunk of stream) {
        at += chunk.length;
        if (chunk.length > 0) failures = 0;
        yield chunk;
      }
      return;
    } catch (error) {
      failures += 1;
      if (!hasCode(error, 'UNAVAILABLE') || failures > FRUITLESS_READS) throw error;
      stream = await openAt({ ...range, start: at });
    }
  }
}
