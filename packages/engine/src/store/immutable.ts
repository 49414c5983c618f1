/**
 * Objects that nobody can take away for a time, the writer included.
 *
 * What a recovery needs is locked when it is written. A lock does not keep anybody from hiding an object behind a marker or
 * behind other bytes of the same name; so such objects are read and listed by version, and the oldest one counts: it was
 * there before anybody could have put another in its place.
 * @packageDocumentation
 */
import {
  type Abortable,
  facetsOf,
  hasCode,
  KeyframeError,
  type ObjectInfo,
  type ObjectVersion,
  type Store,
  type VersionsFacet,
} from '@keyframe/contracts';
import { isLockedWhenWritten, isReadByVersion } from '@keyframe/repository';

const DAY_MS = 86_400_000;
const SLACK_MS = 7 * DAY_MS;

/**
 * How long an object is locked so that a backup can count on it for `immutableMs` from its end on: a quarter longer, at most a
 * week. Locks of old packs then need not be extended by every backup.
 */
export function lockOf(immutableMs: number): number {
  return immutableMs + Math.min(immutableMs / 4, SLACK_MS);
}

/** How objects are locked. */
export interface ImmutableOptions {
  /** How long each object stays locked after it was written, milliseconds. */
  readonly lockMs: number;
  readonly now: () => Date;
}

/** Versions of one object that are tried: a locked bucket may be flooded with others. */
const TRIED_VERSIONS = 8;

/**
 * `store` with locks on what a recovery needs.
 * @throws {KeyframeError} UNSUPPORTED when the store cannot lock or keeps no versions
 */
export function immutable(store: Store, { lockMs, now }: ImmutableOptions): Store {
  const { versions, retention } = store;
  if (versions === undefined || retention === undefined)
    throw new KeyframeError('UNSUPPORTED', 'the store cannot lock objects', {
      hint: 'Leave `immutable` out, or name a store that can lock: s3 with Object Lock, gcs with object retention, azure with version-level immutability.',
    });
  return {
    ...facetsOf(store),
    put: (key, source, options) =>
      store.put(
        key,
        source,
        isLockedWhenWritten(key) ? { ...options, retainUntil: new Date(now().getTime() + lockMs) } : options,
      ),
    get: async (key, options) => {
      try {
        return await store.get(key, options);
      } catch (error) {
        const hidden = hasCode(error, 'NOT_FOUND') ? await firstOf(versions, key, options) : undefined;
        if (hidden === undefined) throw error;
        return versions.get(key, hidden.version, options);
      }
    },
    stat: (key, options) => (isReadByVersion(key) ? firstOf(versions, key, options) : store.stat(key, options)),
    list: (prefix, options) => listed(versions, prefix, options),
    delete: (keys, options) => remove(versions, keys, options),
    copies: {
      of: (key) => [
        store,
        ...(isReadByVersion(key)
          ? Array.from({ length: TRIED_VERSIONS }, (_, index) => versionView(store, versions, index))
          : []),
      ],
      // A copy that hides the right one is evidence of an attack: it stays, and `verify` tells of it.
      distrust: () => undefined,
    },
  };
}

/** The versions of one object, oldest first. Of equal times, which S3 tells in whole seconds, the one that is listed last is the oldest. */
async function versionsOf(versions: VersionsFacet, key: string, options: Abortable = {}): Promise<ObjectVersion[]> {
  if (!isReadByVersion(key)) return [];
  const found: ObjectVersion[] = [];
  for await (const version of versions.list(key, options))
    if (version.key === key && !version.deleted) found.push(version);
  return found.toReversed().toSorted((one, other) => one.modifiedAt.getTime() - other.modifiedAt.getTime());
}

async function firstOf(
  versions: VersionsFacet,
  key: string,
  options: Abortable | undefined,
): Promise<ObjectVersion | undefined> {
  return (await versionsOf(versions, key, options))[0];
}

/** What is there: of what is locked the oldest version, hidden or not; of the rest the newest. */
async function* listed(versions: VersionsFacet, prefix: string, options?: Abortable): AsyncIterable<ObjectInfo> {
  const oldest = new Map<string, ObjectVersion>();
  for await (const version of versions.list(prefix, options)) {
    if (version.deleted || (!version.latest && !isReadByVersion(version.key))) continue;
    const known = oldest.get(version.key);
    if (known === undefined || version.modifiedAt <= known.modifiedAt) oldest.set(version.key, version);
  }
  yield* oldest.values();
}

/** A marker would hide an object and free nothing: every version goes. */
async function remove(versions: VersionsFacet, keys: readonly string[], options?: Abortable): Promise<void> {
  const wanted = new Set(keys);
  const going: { key: string; version: string }[] = [];
  for (const prefix of new Set(keys.map((key) => key.slice(0, key.lastIndexOf('/') + 1))))
    for await (const { key, version } of versions.list(prefix, options))
      if (wanted.has(key)) going.push({ key, version });
  if (going.length > 0) await versions.delete(going, options);
}

/** The store as if each object had that version of it alone. */
function versionView(store: Store, versions: VersionsFacet, index: number): Store {
  const find = async (key: string, options: Abortable | undefined): Promise<ObjectVersion | undefined> =>
    (await versionsOf(versions, key, options))[index];
  return {
    capabilities: store.capabilities,
    get: async (key, options) => {
      const version = await find(key, options);
      if (version === undefined) throw new KeyframeError('NOT_FOUND', `object ${key} has no further version`);
      return versions.get(key, version.version, options);
    },
    stat: find,
    list: (prefix, options) => store.list(prefix, options),
    put: (key, source, options) => store.put(key, source, options),
    delete: (keys, options) => store.delete(keys, options),
  };
}
