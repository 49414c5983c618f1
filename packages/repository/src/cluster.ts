import type { Abortable } from '@keyframe/contracts';
import type { ArchiveChecks } from './checks/checks.ts';
import type { BackupCatalogue } from './backup/catalogue.ts';
import type { KnownDamage } from './damage/known-damage.ts';
import type { Retention } from './retention/retention.ts';
import type { ObjectLocks } from './retention/object-locks.ts';
import type { SignedChain } from './signing/signing.ts';
import type { WalArchive } from './wal/wal-archive.ts';
import type { WalIndex } from './wal-index/wal-index.ts';

/** One incarnation of a cluster: from initdb or pg_upgrade to the next. Its number orders it, from 1. */
export interface Epoch {
  readonly number: number;
  readonly systemIdentifier: string;
  /** As the server tells it, e.g. 180006. */
  readonly postgresVersion: number;
  readonly createdAt: string;
}

/** The epochs of one cluster. */
export interface ClusterHistory {
  readonly name: string;
  /** All epochs, oldest first. */
  epochs(options?: Abortable): Promise<Epoch[]>;
  /**
   * Adds the first epoch, or returns the one that already has this system identifier. Only with `next` does another one
   * follow: of two clusters that archive under one name for the first time at once, one is refused.
   * @throws {KeyframeError} WRONG_CLUSTER
   */
  create(
    epoch: Omit<Epoch, 'number' | 'createdAt'>,
    options?: Abortable & { readonly next?: boolean | undefined },
  ): Promise<EpochArchive>;
  /**
   * The epoch of a running cluster.
   * @throws {KeyframeError} WRONG_CLUSTER when only others are there, NOT_FOUND when there is none at all
   */
  find(systemIdentifier: string, options?: Abortable): Promise<EpochArchive>;
  newest(options?: Abortable): Promise<EpochArchive | undefined>;
  /** What of this cluster is kept and what goes, in all epochs. @throws {KeyframeError} REPOSITORY_MISSING */
  retention(options?: Abortable): Promise<Retention>;
  /** What verifications found wrong of its packs, in all epochs. @throws {KeyframeError} REPOSITORY_MISSING */
  damage(options?: Abortable): Promise<KnownDamage>;
  /** @throws {KeyframeError} NOT_FOUND */
  at(number: number, options?: Abortable): Promise<EpochArchive>;
}

/** What is kept of one epoch. */
export interface EpochArchive {
  readonly cluster: string;
  readonly epoch: Epoch;
  readonly wal: WalArchive;
  /** What passes over its WAL told. */
  readonly index: WalIndex;
  readonly backups: BackupCatalogue;
  /** Locks on its objects, where the store locks any. */
  readonly locks: ObjectLocks | undefined;
  /** Who wrote what, and that nothing of it is missing: signed. */
  readonly chain: SignedChain;
  /** Proves what lies in the store, object by object. */
  readonly checks: ArchiveChecks;
}
