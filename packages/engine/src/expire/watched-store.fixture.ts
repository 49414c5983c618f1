import type { Store } from '@keyframe/contracts';

/** `store`, with a pause before every operation: `before` is told which, and the operation waits for it. */
export function watched(store: Store, before: (operation: string) => Promise<void>): Store {
  return {
    capabilities: store.capabilities,
    put: async (key, ...rest) => (await before(`put ${key}`), store.put(key, ...rest)),
    get: async (key, ...rest) => (await before(`get ${key}`), store.get(key, ...rest)),
    stat: async (key, ...rest) => (await before(`stat ${key}`), store.stat(key, ...rest)),
    delete: async (keys, ...rest) => {
      // A store removes one after the other, and may be stopped between any two.
      for (const key of keys) {
        await before(`delete ${key}`);
        await store.delete([key], ...rest);
      }
    },
    list: async function* (prefix, ...rest) {
      await before(`list ${prefix}`);
      yield* store.list(prefix, ...rest);
    },
  };
}

/** Calls `act` once, before the operation of that number. */
export function atOperation(
  number: number,
  act: () => Promise<void>,
): { readonly before: () => Promise<void>; readonly seen: () => number } {
  let seen = 0;
  return {
    before: async () => {
      seen += 1;
      if (seen === number) await act();
    },
    seen: () => seen,
  };
}
