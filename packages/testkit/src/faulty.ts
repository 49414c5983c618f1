/** Faults on purpose. `faulty(store, failing('put', { nth: 2 }))` is that store with that fault. @packageDocumentation */
import { setTimeout as sleep } from 'node:timers/promises';
import {
  type ByteSource,
  type ByteStream,
  type GetOptions,
  KeyframeError,
  type ObjectInfo,
  type Store,
} from '@keyframe/contracts';

/** One fault, as a store around a store. */
export type Fault = (store: Store) => Store;

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

const unavailable = (operation: Operation, subject: string): KeyframeError =>
  new KeyframeError('UNAVAILABLE', `injected fault of ${operation} '${subject}'`);

/** Decides call by call whether to strike. */
function aimed({ key, nth = 1, times = Infinity }: Aim): (subject: string | readonly string[]) => boolean {
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
      ...facets(store),
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

/** Everything of a store that faults leave alone. */
function facets(store: Store): Omit<Store, 'put' | 'get' | 'stat' | 'list' | 'delete'> {
  const { capabilities, versions, retention, tiers } = store;
  return {
    capabilities,
    ...(versions && { versions }),
    ...(retention && { retention }),
    ...(tiers && { tiers }),
    close: async () => store.close?.(),
  };
}

const around = (store: Store, changed: Partial<Store>): Store => ({
  ...facets(store),
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

/** The object is stored, yet the writer is told `UNAVAILABLE`: the acknowledgement was lost. */
export function losingAcknowledgement(aim: Aim = {}): Fault {
  return (store) => {
    const strikes = aimed(aim);
    return around(store, {
      async put(key, source, options): Promise<ObjectInfo> {
        const info = await store.put(key, source, options);
        if (strikes(key)) throw unavailable('put', key);
        return info;
      },
    });
  };
}

/** Every write and delete is refused with `ACCESS_DENIED`. */
export function readOnly(): Fault {
  const error = new KeyframeError('ACCESS_DENIED', 'the store is read-only');
  return (store) => faulty(store, failing('put', { error }), failing('delete', { error }));
}

/** After `bytes` bytes in all, writes fail with `UNAVAILABLE` in the middle, as on a full disk. Deletes give nothing back. */
export function fullAfter(bytes: number): Fault {
  let room = bytes;
  const limited = (source: ByteSource): ByteSource => ({
    sizeBytes: source.sizeBytes,
    open: async function* () {
      for await (const chunk of source.open()) {
        room -= chunk.length;
        if (room < 0)
          throw new KeyframeError('UNAVAILABLE', "the store's disk is full", { details: { system: 'ENOSPC' } });
        yield chunk;
      }
    },
  });
  return (store) => around(store, { put: (key, source, options) => store.put(key, limited(source), options) });
}

type Change = (chunk: Uint8Array, offsetBytes: number) => Uint8Array | undefined;

/** Passes what is read through `change`, which is told where in the object a chunk starts; `undefined` ends the stream. */
function reading(aim: Aim, change: Change): Fault {
  return (store) => {
    const strikes = aimed(aim);
    return around(store, {
      async get(key: string, options: GetOptions = {}): Promise<ByteStream> {
        const stream = await store.get(key, options);
        return strikes(key) ? passedThrough(stream, options.range?.start ?? 0, change) : stream;
      },
    });
  };
}

async function* passedThrough(stream: ByteStream, start: number, change: Change): ByteStream {
  let at = start;
  for await (const chunk of stream) {
    const passed = change(chunk, at);
    if (passed === undefined) return;
    if (passed.length > 0) yield passed;
    at += chunk.length;
  }
}

/** One bit of the object reads wrong: bit `bit` (0 to 7) of the byte at `offsetBytes`. */
export function flippedBit(offsetBytes: number, aim: Aim & { readonly bit?: number } = {}): Fault {
  return reading(aim, (chunk, start) => {
    const at = offsetBytes - start;
    if (at < 0 || at >= chunk.length) return chunk;
    const damaged = Uint8Array.from(chunk);
    damaged[at] = (damaged[at] ?? 0) ^ (1 << (aim.bit ?? 0));
    return damaged;
  });
}

/** The object reads as if it ended after `sizeBytes` bytes, without a fault. */
export function cutShort(sizeBytes: number, aim: Aim = {}): Fault {
  return reading(aim, (chunk, start) => (start >= sizeBytes ? undefined : chunk.subarray(0, sizeBytes - start)));
}

/** Reading fails with `UNAVAILABLE` once `bytes` bytes of the object have passed. */
export function breakingOff(bytes: number, aim: Aim = {}): Fault {
  return reading(aim, (chunk, start) => {
    if (start + chunk.length > bytes) throw unavailable('get', `after ${bytes} bytes`);
    return chunk;
  });
}
