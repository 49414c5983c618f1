import type { Lsn, TimelineId } from '@keyframe/contracts';

/** Where a record stands. */
export interface RecordPlace {
  /** First byte of the record, as `pg_waldump` prints it. */
  readonly lsn: Lsn;
  /** Where replay stands once the record is applied; for a segment switch the end of the segment. */
  readonly endLsn: Lsn;
  /** `endLsn` of the record before: where replay stands when it stops just before this one. Differs from `lsn` by a page header at most. */
  readonly previousEndLsn: Lsn;
}

/** The end of a transaction. Transactions end in another order than their xids. */
export interface TransactionFact extends RecordPlace {
  readonly kind: 'commit' | 'abort';
  /** The top-level xid; for `COMMIT PREPARED` and `ROLLBACK PREPARED` that of the prepared transaction. */
  readonly xid: number;
  /** What recovery_target_time is compared with: microseconds since 1970-01-01 UTC. */
  readonly timeMicros: bigint;
  /** Ended in the second phase of a two-phase commit. */
  readonly prepared: boolean;
  /** Subtransactions that ended with it. */
  readonly subtransactions: number;
}

/** A name written by pg_create_restore_point(). */
export interface RestorePointFact extends RecordPlace {
  readonly kind: 'restore-point';
  /** At most 63 bytes of UTF-8; other bytes as U+FFFD. */
  readonly name: string;
  readonly timeMicros: bigint;
}

/** A promotion: from this record on, replay is on `timeline`. */
export interface EndOfRecoveryFact extends RecordPlace {
  readonly kind: 'end-of-recovery';
  readonly timeline: TimelineId;
  readonly previousTimeline: TimelineId;
  readonly timeMicros: bigint;
}

/** A checkpoint, from which a crashed server or a backup starts to replay. */
export interface CheckpointFact extends RecordPlace {
  readonly kind: 'checkpoint';
  /** Replay from this checkpoint begins here; the record's own start for a shutdown checkpoint. */
  readonly redo: Lsn;
  readonly shutdown: boolean;
  readonly timeline: TimelineId;
  /** Another one than `timeline` only for the shutdown checkpoint with which a promotion began its timeline. */
  readonly previousTimeline: TimelineId;
}

/** The rest of the segment is unused. */
export interface SwitchFact extends RecordPlace {
  readonly kind: 'switch';
}

/** A base backup taken from a primary was stopped; replay of that backup is consistent from `endLsn` on. */
export interface BackupEndFact extends RecordPlace {
  readonly kind: 'backup-end';
  /** Start LSN of that backup, which tells it from others. */
  readonly startLsn: Lsn;
}

/** Crash recovery gave up a record that was never finished; this one stands in its place. */
export interface OverwriteFact extends RecordPlace {
  readonly kind: 'overwrite';
  readonly abandonedLsn: Lsn;
}

/** Settings a server must have at least, or replay pauses. */
export interface ParameterChangeFact extends RecordPlace {
  readonly kind: 'parameter-change';
  readonly maxConnections: number;
  readonly maxWorkerProcesses: number;
  readonly maxWalSenders: number;
  readonly maxPreparedTransactions: number;
  readonly maxLocksPerTransaction: number;
  readonly walLevel: 'minimal' | 'replica' | 'logical';
  readonly walLogHints: boolean;
  readonly trackCommitTimestamp: boolean;
}

/** A record that was asked for by {@link WatchOptions}, whatever it is. Comes before what else is known of the same record. */
export interface RecordFact extends RecordPlace {
  readonly kind: 'record';
  readonly resourceManager: number;
  /** 0 when it belongs to no transaction. */
  readonly xid: number;
}

/** The watched xid ended as a subtransaction of `topXid`. */
export interface SubtransactionFact extends RecordPlace {
  readonly kind: 'subtransaction';
  readonly xid: number;
  readonly topXid: number;
}

/** A relation as its files are named, wherever its catalogue says that it is. */
export interface RelationId {
  /** Oid; 1663 is pg_default, 1664 pg_global. */
  readonly tablespace: number;
  /** Oid; 0 for relations shared by all databases. */
  readonly database: number;
  readonly relfilenode: number;
}

/** A page of a main fork. */
export interface BlockId extends RelationId {
  /** Number within the relation. */
  readonly block: number;
}

/** Replay of this record sets a watched page anew, whatever it was before. */
export interface BlockRestoredFact extends RecordPlace, BlockId {
  readonly kind: 'block-restored';
}

/** A page was marked as visible to all; see {@link WatchOptions.visible}. */
export interface PageVisibleFact extends RecordPlace, BlockId {
  readonly kind: 'page-visible';
}

/** Storage of a relation came into being: what its path held before is no part of it. */
export interface RelationCreateFact extends RecordPlace, RelationId {
  readonly kind: 'relation-create';
  /** Of the main fork; otherwise of another one. */
  readonly isMain: boolean;
}

/** A relation was cut to so many blocks; what lies behind them later is new. */
export interface RelationTruncateFact extends RecordPlace, RelationId {
  readonly kind: 'relation-truncate';
  readonly blocks: number;
  /** The main fork was cut too, not only its maps. */
  readonly isMain: boolean;
}

/** A database's files were copied from another one's or from another tablespace, or removed, in those tablespaces. */
export interface DatabaseFact extends RecordPlace {
  readonly kind: 'database-create' | 'database-drop';
  readonly database: number;
  readonly tablespaces: readonly number[];
}

/** Catalogues of a database, or with database 0 those shared by all, moved to other files. */
export interface RelationMapFact extends RecordPlace {
  readonly kind: 'relation-map';
  readonly database: number;
  readonly tablespace: number;
}

/** What is told of files when {@link WatchOptions.files} asks for it. */
export type FileFact = RelationCreateFact | RelationTruncateFact | DatabaseFact | RelationMapFact;

/** One thing that a pass over WAL tells. */
export type WalFact =
  | TransactionFact
  | RestorePointFact
  | EndOfRecoveryFact
  | CheckpointFact
  | SwitchFact
  | BackupEndFact
  | OverwriteFact
  | ParameterChangeFact
  | RecordFact
  | SubtransactionFact
  | FileFact
  | BlockRestoredFact
  | PageVisibleFact;

/** What to report beyond the facts that are always reported. */
export interface WatchOptions {
  /**
   * For each position, the record that begins before it and ends at or after it, and the first record that begins at or
   * after it, are reported as facts of kind `record`.
   */
  readonly positions?: readonly Lsn[] | undefined;
  /** The first record of this xid is reported as a fact of kind `record`, and its end as a subtransaction. */
  readonly xid?: number | undefined;
  /** Report what records say about files: created, cut, copied, dropped. Default false. */
  readonly files?: boolean | undefined;
  /** Report each record that brings back one of these pages whole. Makes the scan slower. */
  readonly blocks?: readonly BlockId[] | undefined;
  /** Report each page that is marked as visible to all, which can leave its LSN as it is. Default false. */
  readonly visible?: boolean | undefined;
}
