/** What some stores can do beyond keeping objects. Each facet is present only where the backend has it. @packageDocumentation */
import type { Abortable, ByteStream } from './bytes.ts';
import type { GetOptions, ObjectInfo } from './store.ts';

/** One version of an object. */
export interface ObjectVersion extends ObjectInfo {
  readonly version: string;
  /** What a `get` without a version gives; a deleted one where `deleted` is true. */
  readonly latest: boolean;
  /** A marker that hides the object: it has no bytes. */
  readonly deleted: boolean;
}

/** Versions kept by the store itself, for locked buckets that are read by version. */
export interface VersionsFacet {
  /** Whether this bucket keeps old versions now. */
  enabled(options?: Abortable): Promise<boolean>;
  /** Every version of every object whose key starts with `prefix`, markers and hidden ones too; of equal times the newest first. */
  list(prefix: string, options?: Abortable): AsyncIterable<ObjectVersion>;
  /** @throws {KeyframeError} NOT_FOUND, ACCESS_DENIED, UNAVAILABLE */
  get(key: string, version: string, options?: GetOptions): Promise<ByteStream>;
  /**
   * Removes versions and markers for good. An absent one succeeds. Where some are refused the others are removed, and the call rejects.
   * @throws {KeyframeError} ACCESS_DENIED, with the detail `locked: true` where a lock is all that refuses; UNAVAILABLE
   */
  delete(
    versions: ReadonlyArray<{ readonly key: string; readonly version: string }>,
    options?: Abortable,
  ): Promise<void>;
}

/** Object lock: until then nobody, we included, can delete or replace that version. */
export interface RetentionFacet {
  /** Whether objects of this bucket can be locked now. */
  enabled(options?: Abortable): Promise<boolean>;
  /** The newest version is retained until, or `undefined` when it is not locked. */
  until(key: string, options?: Abortable): Promise<Date | undefined>;
  /**
   * Extends the lock of the newest version, or of `version`. An earlier time than what is there changes nothing.
   * @throws {KeyframeError} NOT_FOUND, ACCESS_DENIED, UNAVAILABLE
   */
  extend(key: string, until: Date, options?: Abortable & { readonly version?: string | undefined }): Promise<void>;
}

/** How quick a thaw is: what it costs differs. */
export type ThawSpeed = 'expedited' | 'standard' | 'bulk';

/** One storage class of a backend. */
export interface StorageClass {
  /** In the backend's own words, e.g. `STANDARD_IA`, `NEARLINE`, `Cool`. */
  readonly name: string;
  /** True when objects must be thawed before they can be read. */
  readonly archived: boolean;
  /** Hours until a thawed object can be read, at most, by speed. Absent: readable at once. */
  readonly thawHours?: Readonly<Partial<Record<ThawSpeed, number>>>;
  /** Days that are charged at least. */
  readonly minimumDays: number;
}

/** Whether the bytes can be had now. */
export interface TierState {
  readonly storageClass: string;
  readonly readable: boolean;
  /** A thaw was asked for and is not done. */
  readonly thawing: boolean;
  /** A thawed copy goes away then. */
  readonly readableUntil?: Date | undefined;
}

/** Storage classes and thawing of archived objects. A `get` of an archived object is `UNAVAILABLE` with the detail `archived: true`. */
export interface TiersFacet {
  readonly classes: readonly StorageClass[];
  /** @throws {KeyframeError} NOT_FOUND */
  state(key: string, options?: Abortable): Promise<TierState>;
  move(key: string, storageClass: string, options?: Abortable): Promise<void>;
  /** Asks for a readable copy; resolves when the request is accepted or one is under way, not when the copy is there. */
  thaw(key: string, how: { readonly days: number; readonly speed: ThawSpeed }, options?: Abortable): Promise<void>;
}

/** Labels on objects, which rules of the bucket can name. */
export interface TagsFacet {
  of(key: string, options?: Abortable): Promise<Readonly<Record<string, string>>>;
  /** Replaces all tags. */
  set(key: string, tags: Readonly<Record<string, string>>, options?: Abortable): Promise<void>;
}

/** One rule of a bucket. */
export interface LifecycleRule {
  /** Ours begin with `keyframe-`. */
  readonly id: string;
  /** Which objects, as keys of this store. Empty: all of them. */
  readonly prefix: string;
  readonly tag?: { readonly key: string; readonly value: string } | undefined;
  readonly action:
    | { readonly kind: 'transition'; readonly afterDays: number; readonly storageClass: string }
    /** Removes versions that are no longer the newest, and markers with nothing behind them. */
    | { readonly kind: 'expire-old-versions'; readonly afterDays: number }
    | { readonly kind: 'abort-uploads'; readonly afterDays: number }
    /** Removes objects by age. Keyframe never makes such a rule: it reads them to warn. */
    | { readonly kind: 'expire'; readonly afterDays: number };
}

/** The bucket's own rules. */
export interface LifecycleFacet {
  /** Which actions this backend knows. */
  readonly actions: ReadonlyArray<LifecycleRule['action']['kind']>;
  /** `foreign`: what others wrote and these terms cannot express, a line each. */
  read(options?: Abortable): Promise<{ readonly rules: readonly LifecycleRule[]; readonly foreign: readonly string[] }>;
  /** Puts these in the place of all rules whose id begins with `keyframe-` and that name this store's prefix; leaves every other. */
  write(rules: readonly LifecycleRule[], options?: Abortable): Promise<void>;
}

/** Copies that the backend itself makes in another bucket. */
export interface ReplicationFacet {
  /** What is set up now, a line each; empty when nothing is. */
  read(options?: Abortable): Promise<readonly string[]>;
  /** What `apply` would send: a document for people, and why it cannot be sent, if it cannot. */
  plan(options?: Abortable): Promise<{ readonly document: string; readonly problems: readonly string[] }>;
  /** @throws {KeyframeError} INVALID_OPTION, ACCESS_DENIED, UNSUPPORTED */
  apply(options?: Abortable): Promise<void>;
}

/** How the backend encrypts an object. */
export interface AtRest {
  /** E.g. `SSE-S3`, `SSE-KMS`, `SSE-C`, `CMEK`, `CSEK`, `CPK`, `scope`. */
  readonly method: string;
  /** The key's name where the backend tells it. */
  readonly keyId?: string | undefined;
}

/** Encryption by the backend, of what Keyframe has or has not encrypted itself. */
export interface AtRestFacet {
  /** What the options ask for. Absent: whatever the bucket does. */
  readonly wanted?: AtRest | undefined;
  /** How that object is encrypted, as the backend tells; `undefined` when it tells nothing. @throws {KeyframeError} NOT_FOUND */
  of(key: string, options?: Abortable): Promise<AtRest | undefined>;
  /** Whether the key that the backend named is the one that was asked for: an alias and an ARN may be one key. */
  matches(found: AtRest): boolean;
}

/** Who does what: `writer` backs up and archives, `restorer` reads, `pruner` reads and removes, `owner` does everything. */
export type StoreRole = 'writer' | 'restorer' | 'pruner' | 'owner';

/** The least rights that a role needs. */
export interface AccessFacet {
  /** A document ready for the provider (an IAM policy, a role binding, a SAS), and what to do with it. */
  policy(role: StoreRole): {
    readonly language: 'json' | 'sh' | 'text';
    readonly document: string;
    readonly note: string;
  };
}

/** Where objects are: two copies in one place are lost together. */
export interface StoreLocation {
  /** E.g. `aws`, `gcp`, `azure`, `s3:minio.example.com`, `sftp:host`, `file`. */
  readonly provider: string;
  readonly account?: string | undefined;
  readonly region?: string | undefined;
  /** Bucket, container or directory. */
  readonly container: string;
}
