import type { AdapterKinds, Host, Secret } from '@keyframe/contracts';
import type { StorageClasses } from '@keyframe/engine/store';
import type { WriteRule } from '@keyframe/repository';
import type { Codec } from './codecs.ts';
import type { ExposedFile } from './exposed-files.ts';
import type { RetentionConfiguration } from './retention-schema.ts';

/** Variables of the process, as `process.env` gives them. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** How `keyframe wal receive` works for a cluster. */
export interface ReceiveConfiguration {
  readonly slot: string;
  readonly flushIntervalMs: number;
  readonly flushBytes: number;
  readonly synchronous: boolean;
}

/** A PostgreSQL database cluster, as the file describes it. */
export interface ClusterConfiguration {
  readonly name: string;
  readonly source: {
    /** Connection URI; `undefined` leaves everything to `PG*` variables and libpq's defaults. */
    readonly url: Secret | undefined;
    /** The same without password, for people. */
    readonly displayUrl: string | undefined;
    /** Absolute path of the data directory on this machine, where the file names it. */
    readonly dataDirectory: string | undefined;
  };
  /** Name of its repository. */
  readonly repository: string;
  /** How long a backup waits for its last WAL segment to be archived. */
  readonly walTimeoutMs: number;
  /** Most bytes per second that a backup reads from the server. */
  readonly maxRateBytes: number | undefined;
  /** How WAL of it is streamed. */
  readonly receive: ReceiveConfiguration;
  /** What is kept of this cluster, where it is not what its repository says. */
  readonly retention: RetentionConfiguration | undefined;
}

/** An adapter that the file names: loaded, its options validated, not yet made. */
export interface ConfiguredAdapter<Kind extends keyof AdapterKinds> {
  /** As written in the file. */
  readonly use: string;
  /** The plugin's own name, e.g. `store-fs`. */
  readonly pluginName: string;
  create(host: Host): AdapterKinds[Kind];
}

/** A store and the name it goes by in this repository. */
export interface ConfiguredStore extends ConfiguredAdapter<'store'> {
  readonly name: string;
  /** Storage class of new objects by what they hold. */
  readonly classes: StorageClasses | undefined;
  /** What no backup younger than that needs goes to an archive class. */
  readonly archive: { readonly afterMs: number; readonly storageClass: string } | undefined;
}

/** Where the history of clusters is kept. */
export interface RepositoryConfiguration {
  readonly name: string;
  /** At least one; each holds everything. */
  readonly stores: readonly ConfiguredStore[];
  /** When a write counts. */
  readonly writeRule: WriteRule;
  readonly compress: ConfiguredAdapter<'compressor'>;
  /** What opens it, each with the name that slots have; empty: nothing is encrypted. */
  readonly encrypt: readonly (ConfiguredAdapter<'encryptor'> & { readonly kind: string })[];
  /** What a host that writes and cannot read has instead of a private key. */
  readonly indexKey: Secret | undefined;
  /** How long nobody can remove or replace what a backup needs, milliseconds; undefined: nothing is locked. */
  readonly immutableMs: number | undefined;
  /** What is kept; undefined: nothing expires. */
  readonly retention: RetentionConfiguration | undefined;
  readonly signing: {
    /** Private key in PEM, where this host signs. */
    readonly key: Secret | undefined;
    /** Public keys to believe, beside the own one. */
    readonly trusted: readonly string[];
  };
}

/** A config file: read, secrets resolved, every plugin loaded, everything valid. */
export interface Configuration {
  /** Absolute path. */
  readonly file: string;
  readonly clusters: ReadonlyMap<string, ClusterConfiguration>;
  readonly repositories: ReadonlyMap<string, RepositoryConfiguration>;
  /** Where this host keeps what it remembers, where the file says so. Absolute path. */
  readonly stateDirectory: string | undefined;
  /** Codecs that can be read whatever the file says: those that this installation brings along. */
  readonly codecs: readonly Codec[];
  /** Files with secrets in them that others may read, this one included where it holds some. */
  readonly exposed: readonly ExposedFile[];
  /** Replaces every secret value of the file in a text by `***`. */
  redact(text: string): string;
}
