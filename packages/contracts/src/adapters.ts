/** Adapter kinds whose implementations come after the spine; their shapes are fixed here so that nothing has to move. @packageDocumentation */
import type { Abortable, ByteTransform, Closable } from './bytes.ts';

/**
 * Wraps and unwraps keys of 16 to 64 bytes (envelope encryption). Repository bytes themselves are always AES-256-GCM.
 * What was wrapped is authenticated or at least checked: `unwrap` gives back the key that was wrapped, or a fault.
 */
export interface Encryptor extends Closable {
  /** Names the key that wraps, e.g. a fingerprint or an ARN: one line of text. Never secret. */
  readonly keyId: string;
  /** False on a host that holds public keys only: it can write backups and read none. */
  readonly canUnwrap: boolean;
  /**
   * True when a host can be kept from reading: public keys alone wrap, or a key service gives the two rights apart.
   * Default false: who can wrap can unwrap.
   */
  readonly asymmetric?: boolean;
  /** For adapters that learn only by asking (an agent, a card) whether they can unwrap now. Absent: `canUnwrap` tells. */
  unwrapsHere?(options?: Abortable): Promise<boolean>;
  /** @throws {KeyframeError} ACCESS_DENIED, INVALID_OPTION, UNSUPPORTED when its tool is missing */
  wrap(dataKey: Uint8Array, options?: Abortable): Promise<Uint8Array>;
  /** @throws {KeyframeError} ACCESS_DENIED when it has no key or the wrong one, CORRUPT, UNSUPPORTED */
  unwrap(wrapped: Uint8Array, options?: Abortable): Promise<Uint8Array>;
  /** A whole-stream cipher readable by its own tool (gpg, age), for dumps. */
  readonly stream?: { encrypt(): ByteTransform; decrypt(): ByteTransform };
}

/** What the engine may rely on when it takes storage snapshots. */
export interface SnapshotCapabilities {
  /** One snapshot call is atomic over this many volumes. Default 1. */
  readonly atomicVolumes?: number;
}

/** One storage snapshot as its backend knows it. */
export interface SnapshotInfo {
  readonly id: string;
  readonly createdAt: Date;
  readonly state: 'pending' | 'ready' | 'failed';
  readonly sizeBytes: number | undefined;
}

/** Storage snapshots of the volumes under a data directory. */
export interface Snapshot extends Closable {
  readonly capabilities: SnapshotCapabilities;
  /** The volumes that hold these paths. */
  locate(paths: readonly string[], options?: Abortable): Promise<readonly string[]>;
  create(volumes: readonly string[], name: string, options?: Abortable): Promise<SnapshotInfo>;
  stat(id: string, options?: Abortable): Promise<SnapshotInfo | undefined>;
  list(options?: Abortable): AsyncIterable<SnapshotInfo>;
  /** Makes the content readable at a path of this host. */
  mount(id: string, options?: Abortable): Promise<{ readonly path: string; unmount(): Promise<void> }>;
  copy?(id: string, region: string, options?: Abortable): Promise<SnapshotInfo>;
  delete(id: string, options?: Abortable): Promise<void>;
}

/** Point-in-time recovery run by a provider (RDS, Cloud SQL). */
export interface Managed extends Closable {
  ensureRetention(days: number, options?: Abortable): Promise<void>;
  window(options?: Abortable): Promise<{ readonly earliest: Date; readonly latest: Date }>;
  /** Restores to a new database; resolves with its address when it accepts connections. */
  restore(time: string, name: string, options?: Abortable): Promise<{ readonly address: string }>;
}

/** One event for people or programs. Never holds secrets or bulk bytes. */
export interface Notice {
  readonly event: string;
  readonly severity: 'info' | 'warning' | 'critical';
  readonly at: Date;
  readonly cluster: string;
  readonly message: string;
  readonly details: Readonly<Record<string, string | number | boolean>>;
}

/** Delivers notices. */
export interface Notifier extends Closable {
  readonly delivery: 'at-most-once' | 'at-least-once';
  send(notice: Notice, options?: Abortable): Promise<void>;
}

/** Takes figures. */
export interface Metrics extends Closable {
  set(name: string, value: number, labels?: Readonly<Record<string, string>>): void;
  add(name: string, value: number, labels?: Readonly<Record<string, string>>): void;
}

/** Runs a job here, in Kubernetes, or by a queue of workers. At least once: the repository's lease decides who may write. */
export interface Executor extends Closable {
  readonly isolation: 'process' | 'container';
  run(argv: readonly string[], options?: Abortable): Promise<{ readonly exit: number }>;
}
