import type { Abortable, Compressor, Store } from '@keyframe/contracts';
import type { ClusterHistory } from './cluster.ts';
import type { EncryptionContext, RepositoryKeys } from './encryption/encryption.ts';
import type { RepositoryIdentity } from './identity.ts';
import type { Lease, LeaseHolder, LeaseOptions } from './lease.ts';
import type { LostRoots } from './roots/lost-roots.ts';
import type { Signers } from './signing/signers.ts';
import type { SigningContext } from './signing/signing.ts';
import type { RepositoryTuning } from './tuning.ts';

/** What a repository needs from outside: where bytes lie, how they are packed, and the time. */
export interface RepositoryContext {
  readonly store: Store;
  /** Compresses what is written. */
  readonly compressor: Compressor;
  /** Decompress what is read, chosen by the id in each frame. `compressor` itself is always tried too. */
  readonly compressors: readonly Compressor[];
  readonly now: () => Date;
  /** Sizes and bounds; the defaults suit a process of less than 300 MiB. */
  readonly tuning?: Partial<RepositoryTuning> | undefined;
  /** Who signs and whom to believe. Default: nothing is signed, and signatures are believed as the repository has them. */
  readonly signing?: SigningContext | undefined;
  /** What opens it. Default: it must not be encrypted. */
  readonly encryption?: EncryptionContext | undefined;
}

/** The history of any number of database clusters in one store. */
export interface Repository {
  /**
   * Who this repository is and which format it has.
   * @throws {KeyframeError} REPOSITORY_MISSING, REPOSITORY_FORMAT, CORRUPT
   */
  identity(options?: Abortable): Promise<RepositoryIdentity>;
  /**
   * Asks the store again who it is. A store that is not mounted any more looks empty, so nothing may be concluded from
   * an absent object without it.
   * @throws {KeyframeError} REPOSITORY_MISSING, CONFLICT when another repository answers
   */
  confirm(options?: Abortable): Promise<void>;
  /** Creates the repository, with keys when the configuration has `encrypt`, or confirms the one that is there. */
  init(options?: Abortable): Promise<RepositoryIdentity>;
  /** Names of the clusters that have an epoch, sorted. */
  clusters(options?: Abortable): Promise<string[]>;
  /**
   * The history of one cluster, whether or not it exists yet. No I/O.
   * @throws {KeyframeError} INVALID_OPTION unless the name is `[a-z0-9][a-z0-9_-]{0,62}`
   */
  cluster(name: string): ClusterHistory;
  /**
   * Reads one object whole and proves every byte of it by its hash, decompressing frames that are not encrypted.
   * @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT, NOT_FOUND
   */
  check(key: string, options?: Abortable): Promise<void>;
  /** What opens the repository, and what it is written with. */
  readonly keys: RepositoryKeys;
  /** What says who the repository and its clusters are, when it is lost. */
  readonly roots: LostRoots;
  /** The writers whose public keys the repository holds. */
  readonly signers: Signers;
  /**
   * Takes a lease of that name, such as `main/backup`.
   * @throws {KeyframeError} LOCKED, naming who holds it
   */
  lease(name: string, holder: LeaseHolder, options: LeaseOptions): Promise<Lease>;
}
