import type { Host, Log, Store } from '@keyframe/contracts';
import type { ConnectionTarget } from '@keyframe/postgres';
import type { MirroredStore, NamedStore, Repository } from '@keyframe/repository';
import type { ClusterConfiguration, Configuration } from './configuration.ts';

/** The assembled parts for one cluster and its repository. Nothing is opened before its first use. */
export interface App {
  readonly configuration: Configuration;
  readonly clusterName: string;
  readonly cluster: ClusterConfiguration;
  readonly repositoryName: string;
  /** How long what a backup needs is locked; `undefined`: nothing is. */
  readonly immutableMs: number | undefined;
  readonly repository: Repository;
  /** The repository's store with the engine's retries; several stores are one here. */
  readonly store: Store;
  /** What is behind `store` where the repository has several. */
  readonly mirror: MirroredStore | undefined;
  /** The stores themselves: one attempt per call. */
  readonly rawStores: readonly NamedStore[];
  /** What a store holds when it is looked at alone. */
  repositoryOver(store: Store): Repository;
  readonly host: Host;
  readonly log: Log;
  /** Where this host keeps what it remembers of this repository. May not exist yet. */
  readonly stateDirectory: string;
  /** Resolves the source's URL with the environment's `PG*` variables and password file. */
  connectionTarget(): Promise<ConnectionTarget>;
  /** Closes every adapter and removes temporary directories. Called again: does nothing. */
  close(): Promise<void>;
}
