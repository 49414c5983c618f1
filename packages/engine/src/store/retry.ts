/** Retries transient store faults. Adapters make one attempt; this is the only place that repeats one. @packageDocumentation */
import { type ByteStream, facetsOf, type GetOptions, hasCode, type ObjectInfo, type Store } from '@keyframe/contracts';
import { pause as wait } from '../pause.ts';

/** How long and how often a transient fault is tried again. */
export interface RetryPolicy {
  /** No new attempt starts later than this after the first failure, milliseconds: a long upload is tried again, too. */
  readonly deadlineMs: number;
  /** First pause, milliseconds; doubles up to `maxPauseMs`, each drawn at random between half and the whole (jitter). */
  readonly firstPauseMs: number;
  readonly maxPauseMs: number;
  readonly onRetry?: (key: string, attempt: number, cause: unknown) => void;
}

/** Half a minute, with pauses from 0.1 to 5 seconds. */
export const DEFAULT_RETRY: RetryPolicy = { deadlineMs: 30_000, firstPauseMs: 100, maxPauseMs: 5_000 };

/** A body that breaks this often in a row without one byte of progress is given up. */
const FRUITLESS_READS = 5;

/** A store whose calls are repeated while they end in `UNAVAILABLE`. Every other fault passes at once. */
export function retrying(store: Store, policy: RetryPolicy = DEFAULT_RETRY): Store {
  const attempt = <T>(key: string, signal: AbortSignal | undefined, call: () => Promise<T>): Promise<T> =>
    repeat(key, policy, signal, call);
  return {
    ...facetsOf(store),
    put: (key, source, options) => attempt(key, options?.signal, () => store.put(key, source, options)),
    get: (key, options) =>
      attempt(key, options?.signal, () => store.get(key, options)).then((first) =>
        resuming(store, policy, key, first, options),
      ),
    stat: (key, options) => attempt(key, options?.signal, () => store.stat(key, options)),
    delete: (keys, options) => attempt(keys[0] ?? '', options?.signal, () => store.delete(keys, options)),
    list: (prefix, options) => relisting(store, policy, prefix, options?.signal),
  };
}

async function repeat<T>(
  key: string,
  policy: RetryPolicy,
  signal: AbortSignal | undefined,
  call: () => Promise<T>,
): Promise<T> {
  let deadline: number | undefined;
  for (let count = 1, pause = policy.firstPauseMs; ; count += 1, pause = Math.min(pause * 2, policy.maxPauseMs)) {
    try {
      return await call();
    } catch (error) {
      const waitMs = pause * (0.5 + Math.random() / 2);
      deadline ??= performance.now() + policy.deadlineMs;
      if (!hasCode(error, 'UNAVAILABLE') || performance.now() + waitMs > deadline) throw error;
      policy.onRetry?.(key, count, error);
      await wait(waitMs, signal);
    }
  }
}

/** A body that breaks midway is taken up at the byte where it broke: objects never change once written. */
async function* resuming(
  store: Store,
  policy: RetryPolicy,
  key: string,
  first: ByteStream,
  options: GetOptions = {},
): AsyncGenerator<Uint8Array> {
  let at = options.range?.start ?? 0;
  const reopen = (): Promise<ByteStream> =>
    store.get(key, {
      ...options,
      range: options.range?.end === undefined ? { start: at } : { start: at, end: options.range.end },
    });
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
      stream = await repeat(key, policy, options.signal, reopen);
    }
  }
}

/** A listing that breaks starts again; keys already given out are skipped. */
async function* relisting(
  store: Store,
  policy: RetryPolicy,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo> {
  const seen = new Set<string>();
  let deadline: number | undefined;
  for (let pause = policy.firstPauseMs; ; pause = Math.min(pause * 2, policy.maxPauseMs)) {
    try {
      for await (const info of store.list(prefix, { signal })) {
        if (seen.has(info.key)) continue;
        seen.add(info.key);
        yield info;
      }
      return;
    } catch (error) {
      deadline ??= performance.now() + policy.deadlineMs;
      if (!hasCode(error, 'UNAVAILABLE') || performance.now() + pause > deadline) throw error;
      policy.onRetry?.(prefix, 1, error);
      await wait(pause, signal);
    }
  }
}
