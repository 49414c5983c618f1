/** Brings one object from one store to another. @packageDocumentation */
import { type Abortable, type ByteStream, hasCode, KeyframeError, type Store } from '@keyframe/contracts';
import type { Member } from './member.ts';

/** Proves every byte of an object that it reads from that store. */
export type CheckObject = (store: Store, key: string, options?: Abortable) => Promise<void>;

/** What a check says of an object that this host or this release cannot prove: it is copied as it is. */
const UNPROVABLE = ['INVALID_OPTION', 'KEY_REQUIRED', 'KEY_WRONG', 'REPOSITORY_FORMAT'] as const;

/** How an object came over: by its own proof, or as it is where its kind proves nothing by itself. */
export type CopyOutcome = 'verified' | 'plain';

/** Creates the object from another store's copy, as it is. */
export async function copyPlain(from: Member, to: Member, key: string, signal: AbortSignal | undefined): Promise<void> {
  const info = await from.use((store) => store.stat(key, { signal }));
  if (info === undefined) throw new KeyframeError('NOT_FOUND', `object '${key}' is gone from ${from.name}`);
  await to.use((store) =>
    store.put(key, plainSource(from.store, key, info.sizeBytes, signal), createOnly(store, signal)),
  );
}

/**
 * Copies an object, checking it on the way: its last chunk is given to the target only when all of it has proven itself, so
 * that no damaged copy ever becomes visible.
 * @throws {KeyframeError} CORRUPT when the source is damaged, NOT_FOUND, ALREADY_EXISTS unless `replace`
 */
export async function copyVerified(
  from: Store,
  to: Store,
  key: string,
  { check, replace = false, signal }: Abortable & { readonly check: CheckObject; readonly replace?: boolean },
): Promise<CopyOutcome> {
  const info = await from.stat(key, { signal });
  if (info === undefined) throw new KeyframeError('NOT_FOUND', `object '${key}' does not exist`, { details: { key } });
  const open = async function* (): ByteStream {
    const tap = new Tap(from, key);
    const checking = tap.run((store) => check(store, key, { signal }));
    try {
      yield* tap.chunks();
      await checking;
    } finally {
      tap.leave();
      await checking.catch(() => undefined); // the same fault, or the consequence of our leaving
    }
  };
  const options = replace ? { signal } : createOnly(to, signal);
  if (!replace && to.capabilities.conditionalPut !== true && (await to.stat(key, { signal })) !== undefined)
    throw new KeyframeError('ALREADY_EXISTS', `object '${key}' already exists`, { details: { key } });
  try {
    await to.put(key, { sizeBytes: info.sizeBytes, open }, options);
    return 'verified';
  } catch (error) {
    if (!hasCode(error, ...UNPROVABLE)) throw error;
  }
  await to.put(key, plainSource(from, key, info.sizeBytes, signal), options);
  return 'plain';
}

function createOnly(
  store: Store,
  signal: AbortSignal | undefined,
): { ifAbsent?: true; signal: AbortSignal | undefined } {
  return store.capabilities.conditionalPut === true ? { ifAbsent: true, signal } : { signal };
}

function plainSource(store: Store, key: string, sizeBytes: number, signal: AbortSignal | undefined) {
  return {
    sizeBytes,
    open: async function* (): ByteStream {
      yield* await store.get(key, { signal });
    },
  };
}

/** Hands on what a check reads, chunk by chunk, holding back the last one until the check has passed. */
class Tap {
  #started = false;
  readonly #store: Store;
  readonly #key: string;
  readonly #ended = Promise.withResolvers<void>();
  readonly #left = new AbortController();
  #given = Promise.withResolvers<Uint8Array | undefined>();
  #taken = Promise.withResolvers<void>();

  constructor(store: Store, key: string) {
    this.#store = store;
    this.#key = key;
    this.#given.promise.catch(() => undefined);
  }

  /** Runs the check on a store whose first whole read of the object is handed on. */
  async run(check: (store: Store) => Promise<void>): Promise<void> {
    try {
      await check(this.#view());
      this.#ended.resolve();
      this.#given.resolve(undefined);
    } catch (error) {
      this.#given.promise.catch(() => undefined);
      this.#given.reject(error);
      throw error;
    }
  }

  async *chunks(): ByteStream {
    let held: Uint8Array | undefined;
    for (;;) {
      const chunk = await this.#given.promise;
      if (chunk === undefined) break;
      if (held !== undefined) yield held;
      held = Buffer.from(chunk);
      this.#given = Promise.withResolvers();
      this.#taken.resolve();
    }
    if (held !== undefined) yield held;
  }

  /** Lets a check end that nobody listens to any more. */
  leave(): void {
    this.#left.abort(new DOMException('the copy was given up', 'AbortError'));
    this.#taken.resolve();
  }

  #view(): Store {
    const store = this.#store;
    return {
      capabilities: store.capabilities,
      put: (...args) => store.put(...args),
      stat: (...args) => store.stat(...args),
      list: (...args) => store.list(...args),
      delete: (...args) => store.delete(...args),
      get: async (key, options) => {
        const stream = await store.get(key, options);
        if (key !== this.#key || options?.range !== undefined || this.#started) return stream;
        this.#started = true;
        return this.#tapped(stream);
      },
    };
  }

  async *#tapped(stream: ByteStream): ByteStream {
    for await (const chunk of stream) {
      this.#taken = Promise.withResolvers();
      this.#given.resolve(chunk);
      await this.#taken.promise;
      this.#left.signal.throwIfAborted();
      yield chunk;
    }
  }
}
