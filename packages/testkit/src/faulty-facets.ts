/** Faults of what a store does beyond keeping objects, and of what it tells. @packageDocumentation */
import { facetsOf, KeyframeError, type ObjectInfo, type Store } from '@keyframe/contracts';
import { type Aim, aimed, around, failing, type Fault, type Operation, unavailable } from './faulty.ts';

/** A facet whose calls can fail. */
export type FacetName = 'versions' | 'retention' | 'tiers' | 'tags' | 'lifecycle' | 'replication' | 'atRest';

/** A call of a facet, such as `versions.get`, fails before it does anything. Default fault: `UNAVAILABLE`. */
export function failingFacet<Name extends FacetName>(
  name: Name,
  method: keyof NonNullable<Store[Name]> & string,
  aim: Aim & { readonly error?: Error } = {},
): Fault {
  return (store) => {
    const facet: object | undefined = store[name];
    if (facet === undefined) return store;
    const strikes = aimed(aim);
    const struck = new Proxy(facet, {
      get(target, property) {
        const value: unknown = Reflect.get(target, property);
        if (typeof value !== 'function') return value;
        return (...args: unknown[]): unknown => {
          const subject = typeof args[0] === 'string' ? args[0] : name;
          if (property !== method || !strikes(subject)) return Reflect.apply(value, target, args) as unknown;
          const fault = aim.error ?? new KeyframeError('UNAVAILABLE', `injected fault of ${name}.${method}`);
          return failed(fault);
        };
      },
    });
    return { ...around(store, {}), ...facetsOf(store), [name]: struck };
  };
}

/** Rejects when it is awaited and when it is listed: a facet's method may do either. */
function failed(fault: Error): PromiseLike<never> & AsyncIterable<never> {
  return {
    // eslint-disable-next-line unicorn/no-thenable -- it stands in for a promise
    then: (resolve, reject) => Promise.reject(fault).then(resolve, reject),
    [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(fault) }),
  };
}

/** The store asks to slow down: `UNAVAILABLE` with the details that say so. */
export function throttling(operation: Operation, aim: Aim & { readonly retryAfterMs?: number } = {}): Fault {
  const { retryAfterMs } = aim;
  const error = new KeyframeError('UNAVAILABLE', 'injected: slow down', { details: { throttled: true, retryAfterMs } });
  return failing(operation, { ...aim, error });
}

/** Listings do not show what was put less than `milliseconds` ago, as in a store that is eventually consistent. */
export function staleListing(milliseconds: number, aim: Aim = {}): Fault {
  return (store) => {
    const strikes = aimed(aim);
    const putAt = new Map<string, number>();
    return around(store, {
      async put(key, source, options) {
        const info = await store.put(key, source, options);
        putAt.set(key, performance.now());
        return info;
      },
      async *list(prefix, options): AsyncGenerator<ObjectInfo> {
        const stale = strikes(prefix);
        for await (const info of store.list(prefix, options)) {
          const at = putAt.get(info.key);
          if (!stale || at === undefined || performance.now() - at >= milliseconds) yield info;
        }
      },
    });
  };
}

/** Of a delete of several keys only the first half is done, and the call fails with `UNAVAILABLE`. */
export function partialDelete(aim: Aim = {}): Fault {
  return (store) => {
    const strikes = aimed(aim);
    return around(store, {
      async delete(keys, options) {
        if (!strikes(keys)) return await store.delete(keys, options);
        await store.delete(keys.slice(0, Math.floor(keys.length / 2)), options);
        throw unavailable('delete', keys.at(-1) ?? '');
      },
    });
  };
}
