/** Faults on purpose. `faulty(store, failing('put', { nth: 2 }))` is that store with that fault. @packageDocumentation */
import { setTimeout as sleep } from 'node:timers/promises';
import { facetsOf, KeyframeError, type Store } from '@keyframe/contracts';

/** One fault, as a store around a store. */
export type Fault = (store: Store) => Store;

/** A method of a store. */
export type Operation = 'put' | 'get' | 'stat' | 'list' | 'delete';

/** Which calls a fault strikes, of those of its operation. */
export interface Aim {
  /** Only keys (or list prefixes, or any key of a delete) that match. Default: all. */
  readonly key?: RegExp;
  /** The first matching call that is struck, from 1. Default 1. */
  readonly nth?: number;
  /** How many matching calls from there on are struck. Default: all. */
  readonly times?: number;
}

/** `store` with `faults`; the first of them is nearest to the store. */
export function faulty(store: Store, ...faults: readonly Fault[]): Store {
  return faults.reduce((inner, fault) => fault(inner), store);
}

/** The fault that is raised where none is given. */
export const unavailable = (operation: Operation, subject: string): KeyframeError =>
  new KeyframeError('UNAVAILABLE', `injected fault of ${operation} '${subject}'`);

/** Decides call by call whether to strike. */
export function aimed({ key, nth = 1, times = Infinity }: Aim): (subject: string | readonly string[]) => boolean {
  let matched = 0;
  return (subject) => {
    if (key !== undefined && ![subject].flat().some((text) => key.test(text))) return false;
    matched += 1;
    return matched >= nth && matched < nth + times;
  };
}

/** Runs `before` ahead of every call of that operation. */
function ahead(operation: Operation, aim: Aim, before: (subject: string) => Promise<void>): Fault {
  return (store) => {
    const strikes = aimed(aim);
    const check = async (which: Operation, subject: string | readonly string[]): Promise<void> => {
      if (which === operation && strikes(subject)) await before(String(subject));
    };
    return {
      ...facetsOf(store),
      put: async (key, source, options) => (await check('put', key), store.put(key, source, options)),
      get: async (key, options) => (await check('get', key), store.get(key, options)),
      stat: async (key, options) => (await check('stat', key), store.stat(key, options)),
      list: async function* (prefix, options) {
        await check('list', prefix);
        yield* store.list(prefix, options);
      },
      delete: async (keys, options) => (await check('delete', keys), store.delete(keys, options)),
    };
  };
}

/** `store` with some methods replaced. */
export const around = (store: Store, changed: Partial<Store>): Store => ({
  ...facetsOf(store),
  put: (...args) => store.put(...args),
  get: (...args) => store.get(...args),
  stat: (...args) => store.stat(...args),
  list: (...args) => store.list(...args),
  delete: (...args) => store.delete(...args),
  ...changed,
});

/** The call fails before it does anything. Default fault: `UNAVAILABLE`. */
export function failing(operation: Operation, aim: Aim & { readonly error?: Error } = {}): Fault {
  return ahead(operation, aim, async (subject) => {
    throw aim.error ?? unavailable(operation, subject);
  });
}

/** The call waits first. */
export function slow(operation: Operation, milliseconds: number, aim: Aim = {}): Fault {
  return ahead(operation, aim, () => sleep(milliseconds));
}
