import type { Abortable, ByteSource, ByteStream, Closable } from './bytes.ts';
import { KeyframeError } from './errors.ts';
import type {
  AccessFacet,
  AtRestFacet,
  LifecycleFacet,
  ReplicationFacet,
  RetentionFacet,
  StoreLocation,
  TagsFacet,
  TiersFacet,
  VersionsFacet,
} from './store-facets.ts';

/** @throws {KeyframeError} INVALID_OPTION for a key that is empty, absolute, or has an empty, `.` or `..` part. */
export function assertObjectKey(key: string): void {
  const plain = key.split('/').every((part) => part !== '' && part !== '.' && part !== '..') && !key.includes('\0');
  if (!plain)
    throw new KeyframeError('INVALID_OPTION', `object key ${JSON.stringify(key)} is not a plain relative path`);
}

/** What the engine may rely on beyond the required methods. Absent means false. */
export interface StoreCapabilities {
  /** `put` with `ifAbsent` is atomic between concurrent writers. Default false: the engine then trusts its lease alone. */
  readonly conditionalPut?: boolean;
  /** `put` with `ifMatch` is an atomic compare-and-swap. Default false: the engine numbers create-only objects instead. */
  readonly conditionalReplace?: boolean;
  /** `get` honours `range` without reading from the start. Default false: the adapter discards leading bytes. */
  readonly rangeRead?: boolean;
  /** A completed `put` is seen by every later `get`, `stat` and `list`. Default false: the engine re-reads before it concludes. */
  readonly strongConsistency?: boolean;
  /** Largest object, in bytes. Default: no limit known. */
  readonly maxObjectBytes?: number;
}

/** An object without its bytes. */
export interface ObjectInfo {
  readonly key: string;
  readonly sizeBytes: number;
  readonly modifiedAt: Date;
  /** Opaque, changes with every write; what `ifMatch` compares. Absent where the store has no such thing. */
  readonly version?: string;
  /**
   * Opaque, changes when other bytes lie there, be they equal ones: another file, another upload. Told by `stat` and `list`
   * where the backend has more for that than `version` and the time, such as a file that was copied with its time.
   */
  readonly place?: string;
  /** Storage class in the backend's own words. Told by `list` and `stat` where the backend has such. */
  readonly storageClass?: string;
}

/** Conditions on storing an object. Without one, `put` replaces. */
export interface PutOptions extends Abortable {
  /** Refuse with `ALREADY_EXISTS` rather than replace. Default false. */
  readonly ifAbsent?: boolean;
  /** Replace only the object of that version, else refuse with `CONFLICT`. Needs `capabilities.conditionalReplace`. */
  readonly ifMatch?: string;
  /** Locked until then from the first moment on: needs `retention`. Default: what the bucket itself prescribes. */
  readonly retainUntil?: Date | undefined;
  /** One of `tiers.classes`. Default: the bucket's own. */
  readonly storageClass?: string | undefined;
}

/**
 * For stores that can neither lock objects nor choose a storage class: a wish for one is refused rather than forgotten.
 * @throws {KeyframeError} UNSUPPORTED
 */
export function assertPlainPut({ retainUntil, storageClass }: PutOptions): void {
  if (retainUntil !== undefined) throw new KeyframeError('UNSUPPORTED', 'this store cannot lock objects');
  if (storageClass !== undefined) throw new KeyframeError('UNSUPPORTED', 'this store has no storage classes');
}

/** Which bytes of an object to read. */
export interface GetOptions extends Abortable {
  /** Half-open byte range `[start, end)`; an end past the object's end is cut to it. */
  readonly range?: { readonly start: number; readonly end?: number };
}

/** Present where every object lies in several places: reading can go on with another copy when one is bad. */
export interface CopiesFacet {
  /** One view per place that can be asked now, best first. Each reads that place alone. */
  of(key: string): readonly Store[];
  /** What that view gave for `key` failed its verification, while another view's copy passed it. Never rejects, never waits. */
  distrust(key: string, view: Store): void;
}

/**
 * A flat namespace of objects. Keys are `/`-separated, relative, without `.` or `..`. One attempt per call: retries are the engine's.
 * A backend that asks to slow down (429, 503, SlowDown) is `UNAVAILABLE` with the details `throttled: true` and, where it said how long, `retryAfterMs`.
 */
export interface Store extends Closable {
  readonly capabilities: StoreCapabilities;
  /** Present when the backend can keep old versions. Whether this bucket does, `versions.enabled` asks. */
  readonly versions?: VersionsFacet;
  /** Present when the backend can lock objects. Whether this bucket does, `retention.enabled` asks. */
  readonly retention?: RetentionFacet;
  /** Present when the backend has storage classes. */
  readonly tiers?: TiersFacet;
  /** Present when objects can carry tags. */
  readonly tags?: TagsFacet;
  /** Present when the bucket can have rules of its own. */
  readonly lifecycle?: LifecycleFacet;
  /** Present when the backend itself can copy what is written to another bucket. */
  readonly replication?: ReplicationFacet;
  /** Present when the backend encrypts what it stores and tells how. */
  readonly atRest?: AtRestFacet;
  /** Present when rights are given by a document: which one each role needs. */
  readonly access?: AccessFacet;
  /** Where the objects are, as far as the options tell. Costs no request. */
  readonly location?: StoreLocation;
  /** Present when each object has several copies. */
  readonly copies?: CopiesFacet;
  /**
   * Stores an object. When it resolves the object is durable and visible whole; when it rejects no partial object is visible.
   * @throws {KeyframeError} ALREADY_EXISTS, CONFLICT, ACCESS_DENIED, UNSUPPORTED, UNAVAILABLE
   */
  put(key: string, source: ByteSource, options?: PutOptions): Promise<ObjectInfo>;
  /**
   * Opens an object. A missing object rejects here, not at the first chunk.
   * @throws {KeyframeError} NOT_FOUND, ACCESS_DENIED, UNAVAILABLE
   */
  get(key: string, options?: GetOptions): Promise<ByteStream>;
  /** Metadata, or `undefined` when the backend answered that there is no such object. */
  stat(key: string, options?: Abortable): Promise<ObjectInfo | undefined>;
  /** Every object whose key starts with `prefix`, in no promised order, each once. */
  list(prefix: string, options?: Abortable): AsyncIterable<ObjectInfo>;
  /**
   * Removes objects. Removing an absent key succeeds. Where old versions are kept they stay: `versions.delete` removes those.
   * When some of them cannot be removed the others are, and the call rejects.
   */
  delete(keys: readonly string[], options?: Abortable): Promise<void>;
}
