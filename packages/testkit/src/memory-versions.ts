/** A store in memory that keeps versions, locks and labels: everything that a bucket with all features does. @packageDocumentation */
import {
  type AtRestFacet,
  KeyframeError,
  type LifecycleRule,
  type ObjectVersion,
  type RetentionFacet,
  type Store,
  type StorageClass,
  type TagsFacet,
  type TiersFacet,
  type VersionsFacet,
} from '@keyframe/contracts';
import { abortable, bytesOf, openExact } from '@keyframe/contracts/streams';
import { createMemoryStore, type MemoryStoreOptions } from './memory-store.ts';

interface Kept {
  info: ObjectVersion;
  bytes: Buffer;
  lockedUntil: Date | undefined;
  tags: Readonly<Record<string, string>>;
}

const CLASSES: readonly StorageClass[] = [
  { name: 'STANDARD', archived: false, minimumDays: 0 },
  { name: 'COLD', archived: true, minimumDays: 90, thawHours: { standard: 5, bulk: 48 } },
];

/**
 * {@link createMemoryStore} with the facets `versions`, `retention`, `tags`, `tiers`, `lifecycle`, `atRest`, `access` and
 * `location`. What is moved to `COLD` cannot be read before a thaw, which is done at once.
 */
export function createVersionedMemoryStore(options: MemoryStoreOptions = {}): Store {
  const now = options.now ?? (() => new Date());
  const front = createMemoryStore(options);
  const history = new History(now);
  const store: Store = {
    ...front,
    async put(key, source, how = {}) {
      how.signal?.throwIfAborted();
      const { retainUntil, storageClass, ...plain } = how;
      let bytes: Buffer = Buffer.of();
      const noted = {
        sizeBytes: source.sizeBytes,
        open: async function* () {
          const chunks: Buffer[] = [];
          for await (const chunk of abortable(openExact(source), how.signal)) {
            chunks.push(Buffer.from(chunk)); // its producer may use the buffer again
            yield chunk;
          }
          bytes = Buffer.concat(chunks);
        },
      };
      const info = await front.put(key, noted, plain);
      return history.add(info, bytes, { retainUntil, storageClass });
    },
    async get(key, how) {
      const stream = await front.get(key, how);
      history.assertReadable(key);
      return stream;
    },
    async stat(key, how) {
      const info = await front.stat(key, how);
      if (info === undefined) return undefined;
      const { version, storageClass = 'STANDARD' } = history.newest(key).info;
      return { ...info, version, storageClass };
    },
    async delete(keys, how) {
      await front.delete(keys, how);
      history.hide(keys);
    },
  };
  return {
    ...store,
    versions: versionsOf(history, front),
    retention: retentionOf(history),
    tags: tagsOf(history),
    tiers: tiersOf(history),
    lifecycle: lifecycleOf(),
    atRest: atRestOf(history),
    access: { policy: (role) => ({ language: 'text', document: `let ${role} in`, note: 'nothing to do' }) },
    location: { provider: 'memory', container: 'here' },
  };
}

class History {
  readonly kept: Kept[] = [];
  readonly now: () => Date;
  #markers = 0;

  constructor(now: () => Date) {
    this.now = now;
  }

  add(
    info: Awaited<ReturnType<Store['put']>>,
    bytes: Buffer,
    { retainUntil, storageClass = 'STANDARD' }: { retainUntil?: Date | undefined; storageClass?: string | undefined },
  ): ObjectVersion {
    this.#age(info.key);
    const version = { ...info, version: info.version ?? '', storageClass, latest: true, deleted: false };
    this.kept.push({ info: version, bytes, lockedUntil: retainUntil, tags: {} });
    return version;
  }

  hide(keys: readonly string[]): void {
    for (const key of new Set(keys)) {
      if (!this.kept.some(({ info }) => info.key === key && info.latest && !info.deleted)) continue;
      this.#age(key);
      const version = `marker-${(this.#markers += 1)}`;
      const info = { key, version, sizeBytes: 0, modifiedAt: this.now(), latest: true, deleted: true };
      this.kept.push({ info, bytes: Buffer.of(), lockedUntil: undefined, tags: {} });
    }
  }

  /** @throws {KeyframeError} NOT_FOUND */
  newest(key: string): Kept {
    const found = this.kept.find(({ info }) => info.key === key && info.latest && !info.deleted);
    if (found === undefined) throw missing(key);
    return found;
  }

  /** @throws {KeyframeError} NOT_FOUND */
  exact(key: string, version: string | undefined): Kept {
    if (version === undefined) return this.newest(key);
    const found = this.kept.find(({ info }) => info.key === key && info.version === version && !info.deleted);
    if (found === undefined) throw missing(key);
    return found;
  }

  assertReadable(key: string): void {
    const { info } = this.newest(key);
    if (info.storageClass === 'COLD')
      throw new KeyframeError('UNAVAILABLE', `object '${key}' is archived`, { details: { key, archived: true } });
  }

  /** Removes a version. Of the newest one the one before takes the place: true when another is to be seen now. */
  remove(key: string, version: string): boolean {
    const at = this.kept.findIndex(({ info }) => info.key === key && info.version === version);
    const [gone] = at < 0 ? [] : this.kept.splice(at, 1);
    if (gone?.info.latest !== true) return false;
    const last = this.kept.findLast(({ info }) => info.key === key);
    if (last !== undefined) last.info = { ...last.info, latest: true };
    return true;
  }

  /** The bytes that are to be seen of a key. */
  seen(key: string): Buffer | undefined {
    return this.kept.find(({ info }) => info.key === key && info.latest && !info.deleted)?.bytes;
  }

  #age(key: string): void {
    for (const each of this.kept) if (each.info.key === key) each.info = { ...each.info, latest: false };
  }
}

const missing = (key: string): KeyframeError =>
  new KeyframeError('NOT_FOUND', `object '${key}' not found`, { details: { key } });

function versionsOf(history: History, front: Store): VersionsFacet {
  return {
    enabled: async () => true,
    async *list(prefix, { signal } = {}) {
      signal?.throwIfAborted();
      yield* history.kept.map(({ info }) => info).filter(({ key }) => key.startsWith(prefix));
    },
    async get(key, version, { range, signal } = {}) {
      signal?.throwIfAborted();
      const { bytes } = history.exact(key, version);
      return bytesOf(bytes.subarray(range?.start ?? 0, range?.end ?? bytes.length)).open();
    },
    async delete(versions, { signal } = {}) {
      signal?.throwIfAborted();
      let locked: string | undefined;
      for (const { key, version } of versions) {
        const until = history.kept.find(({ info }) => info.key === key && info.version === version)?.lockedUntil;
        if (until !== undefined && until > history.now()) {
          locked = key;
          continue;
        }
        if (!history.remove(key, version)) continue;
        const seen = history.seen(key);
        if (seen === undefined) await front.delete([key]);
        else await front.put(key, bytesOf(seen));
      }
      if (locked !== undefined)
        throw new KeyframeError('ACCESS_DENIED', `object '${locked}' is locked`, { details: { locked: true } });
    },
  };
}

function retentionOf(history: History): RetentionFacet {
  return {
    enabled: async () => true,
    async until(key, { signal } = {}) {
      signal?.throwIfAborted();
      return history.newest(key).lockedUntil;
    },
    async extend(key, until, { version, signal } = {}) {
      signal?.throwIfAborted();
      const kept = history.exact(key, version);
      if (kept.lockedUntil === undefined || kept.lockedUntil < until) kept.lockedUntil = until;
    },
  };
}

function tagsOf(history: History): TagsFacet {
  return {
    async of(key, { signal } = {}) {
      signal?.throwIfAborted();
      return history.newest(key).tags;
    },
    async set(key, tags, { signal } = {}) {
      signal?.throwIfAborted();
      history.newest(key).tags = tags;
    },
  };
}

function tiersOf(history: History): TiersFacet {
  return {
    classes: CLASSES,
    async state(key, { signal } = {}) {
      signal?.throwIfAborted();
      const { storageClass = 'STANDARD' } = history.newest(key).info;
      return { storageClass, readable: storageClass !== 'COLD', thawing: false };
    },
    async move(key, storageClass) {
      const kept = history.newest(key);
      kept.info = { ...kept.info, storageClass };
    },
    async thaw(key) {
      const kept = history.newest(key);
      kept.info = { ...kept.info, storageClass: 'STANDARD' };
    },
  };
}

function lifecycleOf(): NonNullable<Store['lifecycle']> {
  let rules: readonly LifecycleRule[] = [];
  return {
    actions: ['transition', 'expire-old-versions', 'abort-uploads'],
    async read({ signal } = {}) {
      signal?.throwIfAborted();
      return { rules, foreign: [] };
    },
    async write(next) {
      rules = [...rules.filter(({ id }) => !id.startsWith('keyframe-')), ...next];
    },
  };
}

function atRestOf(history: History): AtRestFacet {
  return {
    async of(key, { signal } = {}) {
      signal?.throwIfAborted();
      history.newest(key);
      return { method: 'none' };
    },
    matches: ({ method }) => method === 'none',
  };
}
