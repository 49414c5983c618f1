import type { ServerFacts } from '@keyframe/postgres';
import type { WriteRule } from '@keyframe/repository';

/** A part of the evidence, or the fault that stood in the way of it. */
export type Gathered<T> =
  | { readonly value: T }
  | {
      readonly fault: {
        readonly code: string;
        readonly message: string;
        readonly hint: string | undefined;
        readonly sqlstate?: string | undefined;
      };
    }
  | { readonly absent: string };

/** Which archive_command this Keyframe wants: what `keyframe setup` would set. */
export interface ArchiveExpectation {
  /** The whole setting. */
  readonly command: string;
  readonly configFile: string;
  readonly clusterName: string;
  readonly repositoryName: string;
}

/** A file that archive_command needs, as seen on the server's machine. */
export interface FileEvidence {
  readonly path: string;
  readonly problem: 'missing' | 'not executable' | 'not readable by the server' | undefined;
}

/** What can be told about the server's machine when we are on it. */
export interface HostEvidence {
  readonly files: readonly FileEvidence[];
  /** The config file that archive_command names is the one in use here, links resolved. */
  readonly sameConfig: boolean | undefined;
  /** Numbers of the system's users: who owns the data directory and so runs archive_command, and who we are. */
  readonly serverUid: number;
  readonly ourUid: number | undefined;
  /** Free space for pg_wal. */
  readonly walFreeBytes: number | undefined;
}

/** What the repository holds under the name of the cluster. */
export interface RepositoryEvidence {
  /** `undefined`: there is none in the store. */
  readonly id: string | undefined;
  /** System identifiers of the epochs kept under this cluster's name. */
  readonly systemIdentifiers: readonly string[];
  readonly backups: number;
  /** Published backups whose record does not prove itself any more. */
  readonly damagedBackups: number;
  readonly newestBackup: string | undefined;
  /**
   * `signed`: somebody has. Nobody has yet: `begins` where this host will with its next backup, `awaited` where it believes
   * only signed backups of others, `none` where signing is not configured. `undefined`: there is nothing to sign.
   */
  readonly signing?: 'signed' | 'begins' | 'awaited' | 'none' | undefined;
}

/** What came of writing, reading and removing an object. */
export interface StoreProbe {
  readonly createOnly: boolean;
  readonly milliseconds: number;
}

/** Every store of a repository, and how many of them a write needs. */
export interface MirrorEvidence {
  readonly stores: readonly { readonly name: string; readonly probe: Gathered<StoreProbe> }[];
  readonly rule: WriteRule;
}

/** Everything the checks look at. */
export interface Evidence {
  readonly server: Gathered<ServerFacts>;
  readonly replication: Gathered<{ readonly systemIdentifier: string }>;
  readonly host: Gathered<HostEvidence>;
  /** Written, read back and removed. */
  readonly store: Gathered<StoreProbe>;
  /** In place of `store` where the repository has several. */
  readonly mirrors?: MirrorEvidence | undefined;
  readonly repository: Gathered<RepositoryEvidence>;
  /** Files with secrets in them that others may read. */
  readonly exposed?: readonly { readonly file: string; readonly mode: string; readonly fix: string }[] | undefined;
  /** Whether what is written is encrypted, or why nothing can be written. */
  readonly encryption?: Gathered<boolean> | undefined;
}
