import {
  assertObjectKey,
  assertPlainPut,
  type ByteStream,
  type GetOptions,
  KeyframeError,
  type ObjectInfo,
  type PutOptions,
  type Store,
  type StoreCapabilities,
} from '@keyframe/contracts';
import { abortable, drain, openExact } from '@keyframe/contracts/streams';

interface Entry {
  readonly bytes: Buffer;
  readonly info: ObjectInfo & { readonly version: string };
}

const ALL: StoreCapabilities = {
  conditionalPut: true,
  conditionalReplace: true,
  rangeRead: true,
  strongConsistency: true,
};

/** How a memory store differs from the fullest one. */
export interface MemoryStoreOptions {
  /** Capabilities to do without, for code that must cope. Default: all but a size limit. */
  readonly capabilities?: StoreCapabilities;
  /** Clock of `modifiedAt`. Default: the real one. */
  readonly now?: () => Date;
}

/** A {@link Store} in memory, with all of the contract's semantics. Every call makes an empty one. */
export function createMemoryStore(options: MemoryStoreOptions = {}): Store {
  const objects = new Map<string, Entry>();
  const capabilities: StoreCapabilities = { ...ALL, ...options.capabilities };
  const now = options.now ?? (() => new Date());
  let writes = 0;

  const assertCondition = (key: string, { ifAbsent, ifMatch }: PutOptions): void => {
    const present = objects.get(key);
    if (ifAbsent === true && present !== undefined)
      throw new KeyframeError('ALREADY_EXISTS', `object '${key}' already exists`, { details: { key } });
    if (ifMatch === undefined) return;
    if (capabilities.conditionalReplace !== true)
      throw new KeyframeError('UNSUPPORTED', `object '${key}': no conditional replace`);
    if (present?.info.version !== ifMatch) throw new KeyframeError('CONFLICT', `object '${key}' has another version`);
  };

  return {
    capabilities,
    async put(key, source, how = {}) {
      assertObjectKey(key);
      assertPlainPut(how);
      how.signal?.throwIfAborted();
      assertCondition(key, how);
      const chunks: Buffer[] = [];
      for await (const chunk of abortable(openExact(source), how.signal)) chunks.push(Buffer.from(chunk));
      assertCondition(key, how); // again: another writer may have finished meanwhile
      const bytes = Buffer.concat(chunks);
      const info = { key, sizeBytes: bytes.length, modifiedAt: now(), version: String((writes += 1)) };
      objects.set(key, { bytes, info });
      return info;
    },
    async get(key, how = {}) {
      assertObjectKey(key);
      how.signal?.throwIfAborted();
      const entry = objects.get(key);
      if (entry === undefined) throw new KeyframeError('NOT_FOUND', `object '${key}' not found`, { details: { key } });
      return chunked(entry.bytes, how);
    },
    async stat(key, { signal } = {}) {
      assertObjectKey(key);
      signal?.throwIfAborted();
      return objects.get(key)?.info;
    },
    async *list(prefix, { signal } = {}) {
      const cut = prefix.lastIndexOf('/');
      if (cut >= 0) assertObjectKey(prefix.slice(0, cut));
      for (const key of [...objects.keys()].toSorted()) {
        signal?.throwIfAborted();
        const entry = key.startsWith(prefix) ? objects.get(key) : undefined;
        if (entry !== undefined) yield entry.info;
      }
      signal?.throwIfAborted();
    },
    async delete(keys, { signal } = {}) {
      for (const key of keys) {
        assertObjectKey(key);
        signal?.throwIfAborted();
        objects.delete(key);
      }
    },
  };
}

async function* chunked(bytes: Buffer, { range, signal }: GetOptions): ByteStream {
  const part = bytes.subarray(range?.start ?? 0, range?.end ?? bytes.length);
  for (let at = 0; at < part.length; at += 65_536) {
    signal?.throwIfAborted();
    yield Buffer.from(part.subarray(at, at + 65_536));
  }
}

/** The bytes of one object of any store; `undefined` when it is not there. */
export async function contentOf(store: Store, key: string): Promise<Buffer | undefined> {
  return (await store.stat(key)) === undefined ? undefined : drain(await store.get(key));
}
