/** A store that is asked again, slower, or no longer. @packageDocumentation */
import type { ObjectInfo, Store } from '@keyframe/contracts';
import { retryingFacets } from './facets.ts';
import type { RetryPolicy } from './patience.ts';
import { Retrier } from './retrier.ts';

/** Half a minute, with pauses from 0.1 to 5 seconds. */
export const DEFAULT_RETRY: RetryPolicy = { deadlineMs: 30_000, firstPauseMs: 100, maxPauseMs: 5_000 };

/**
 * A store whose calls, its facets' too, are repeated while they end in `UNAVAILABLE`: at the pace that the store asks for, and
 * given up when nothing moves. Every other fault passes at once. Adapters make one attempt; this is the only place that
 * repeats one.
 */
export function retrying(store: Store, policy: RetryPolicy = DEFAULT_RETRY): Store {
  const retrier = new Retrier(policy);
  return {
    ...retryingFacets(store, retrier),
    put: (key, source, options) =>
      retrier.call(key, options?.signal, (guard) =>
        store.put(key, guard.source(source), { ...options, signal: guard.signal }),
      ),
    get: (key, options) => retrier.read(key, options, (how) => store.get(key, how)),
    stat: (key, options) => retrier.call(key, options?.signal, ({ signal }) => store.stat(key, { signal })),
    delete: (keys, options) =>
      retrier.call(keys[0] ?? '', options?.signal, (guard) => {
        guard.expect(keys.length);
        return store.delete(keys, { signal: guard.signal });
      }),
    list: (prefix, options) =>
      retrier.list(prefix, options?.signal, ({ signal }) => store.list(prefix, { signal }), keyOf),
  };
}

const keyOf = ({ key }: ObjectInfo): string => key;
