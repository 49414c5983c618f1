import type { Lsn, TimelineId } from '@keyframe/contracts';

/** One row of pg_settings. */
export interface SettingFact {
  readonly value: string;
  /** Base unit of `value`: `B`, `kB`, `8kB`, `MB`, `ms`, `s`, `min`. */
  readonly unit: string | undefined;
  /** `default`, `configuration file`, `command line`, … */
  readonly source: string;
  /** A changed value waits for a restart. */
  readonly pendingRestart: boolean;
}

/** What the connected role may do. `undefined` where the server has no such function. */
export interface RoleFacts {
  readonly name: string;
  readonly superuser: boolean;
  readonly replication: boolean;
  readonly monitor: boolean;
  readonly readAllSettings: boolean;
  readonly maySwitchWal: boolean | undefined;
  readonly mayCreateRestorePoint: boolean | undefined;
  readonly mayEmitMessage: boolean | undefined;
  readonly mayStartBackup: boolean | undefined;
}

/** pg_stat_archiver, times as ISO text of the server with microseconds. */
export interface ArchiverFacts {
  readonly archivedCount: number;
  readonly lastArchivedWal: string | undefined;
  readonly lastArchivedTime: string | undefined;
  readonly lastArchivedAgeSeconds: number | undefined;
  readonly failedCount: number;
  readonly lastFailedWal: string | undefined;
  readonly lastFailedTime: string | undefined;
  /** The last attempt failed: no success came after the last failure. */
  readonly failing: boolean;
}

/** A tablespace of its own; pg_default and pg_global are left out. */
export interface TablespaceFact {
  readonly oid: number;
  readonly name: string;
  readonly location: string;
}

/** A replication slot. `walStatus` is `lost` once its WAL is gone. */
export interface SlotFact {
  readonly name: string;
  readonly physical: boolean;
  readonly active: boolean;
  readonly restartLsn: Lsn | undefined;
  readonly walStatus: string | undefined;
}

/** How fast WAL is written and what waits in pg_wal. */
export interface WalFacts {
  /** Files in pg_wal and their size; needs pg_monitor. */
  readonly directoryFiles: number | undefined;
  readonly directoryBytes: number | undefined;
  /** Files with an `archive_status/*.ready` mark; needs pg_monitor. */
  readonly readyFiles: number | undefined;
  /** Bytes of WAL since the statistics were reset, and for how long. */
  readonly bytesSinceReset: number | undefined;
  readonly secondsSinceReset: number | undefined;
}

/** A database cluster as one role sees it. What the role may not see is `undefined`, never guessed. */
export interface ServerFacts {
  /** As server_version_num: 180006. */
  readonly versionNumber: number;
  readonly major: number;
  readonly versionText: string;
  readonly systemIdentifier: string | undefined;
  readonly inRecovery: boolean;
  /** The timeline being written, in recovery the one last known to the control file. */
  readonly timeline: TimelineId | undefined;
  /** Write position of a primary, replay position of a standby. */
  readonly currentLsn: Lsn | undefined;
  readonly walSegmentSizeBytes: number | undefined;
  readonly dataDirectory: string | undefined;
  readonly configFile: string | undefined;
  readonly hbaFile: string | undefined;
  readonly walLevel: string | undefined;
  readonly archiveMode: string | undefined;
  readonly archiveCommand: string | undefined;
  /** Empty or absent before 15. */
  readonly archiveLibrary: string | undefined;
  readonly archiveTimeoutSeconds: number | undefined;
  readonly maxWalSenders: number | undefined;
  readonly usedWalSenders: number | undefined;
  /** Of those, the ones that stream WAL to a Keyframe, or to somebody whose name this role may not see. */
  readonly keyframeReceivers?: number | undefined;
  readonly maxReplicationSlots: number | undefined;
  readonly slots: readonly SlotFact[] | undefined;
  readonly fullPageWrites: boolean | undefined;
  readonly fsync: boolean | undefined;
  readonly dataChecksums: boolean | undefined;
  readonly hotStandby: boolean | undefined;
  readonly walCompression: string | undefined;
  readonly synchronousStandbyNames: string | undefined;
  /** TimeZone as the server would use it for this role, e.g. for a recovery target without an offset. */
  readonly timeZone: string | undefined;
  /** Server clock in Unix milliseconds, minus ours at the same moment. Positive: the server is ahead. */
  readonly clockSkewMs: number;
  /** The skew is known to plus or minus half of this. */
  readonly roundTripMs: number;
  readonly serverStartedAt: string | undefined;
  readonly role: RoleFacts;
  readonly archiver: ArchiverFacts | undefined;
  readonly wal: WalFacts;
  readonly tablespaces: readonly TablespaceFact[] | undefined;
  /** Sum over all databases; needs pg_monitor or CONNECT on each. */
  readonly databaseBytes: number | undefined;
  readonly databases: number | undefined;
  /** Every setting that this role may see. */
  readonly settings: ReadonlyMap<string, SettingFact>;
}
