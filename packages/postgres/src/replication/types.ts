import type { Abortable, Lsn, TimelineId } from '@keyframe/contracts';
import type { PhysicalSlot } from './slot.ts';
import type { TimelineSwitch, WalStreamOptions, WalStreamSink } from './wal-stream.ts';

/** A tablespace other than the two built-in ones. */
export interface BackupTablespace {
  readonly oid: number;
  /** Where the server has it. Relative to the data directory for an in-place tablespace. */
  readonly location: string;
  readonly sizeEstimateBytes: bigint;
}

/** What the server says before the first byte. */
export interface BackupStart {
  readonly startLsn: Lsn;
  readonly timeline: TimelineId;
  readonly tablespaces: readonly BackupTablespace[];
  /** Sum over all tablespaces when the backup began; the cluster may grow meanwhile. */
  readonly totalEstimateBytes: bigint;
}

/** A member of the backup. */
export interface BackupEntry {
  /** Relative to the data directory, and within it; `/` between parts. Of a tablespace `pg_tblspc/<oid>/…`. */
  readonly path: string;
  readonly type: 'file' | 'directory' | 'symlink';
  /** Permission bits. */
  readonly mode: number;
  readonly modifiedAtSeconds: number;
  /** Bytes that follow; 0 unless a file. */
  readonly sizeBytes: number;
  /** Only of a symlink: where the server has the tablespace. */
  readonly linkTarget?: string | undefined;
  /**
   * Only in an incremental base backup, of a file of which the server sends some blocks. `sizeBytes` counts these alone,
   * and `path` is that of the whole file.
   */
  readonly incremental?: IncrementalFile | undefined;
}

/**
 * Which blocks of a file an incremental base backup holds. Of the others those below `truncationBlocks` are as in the
 * earlier backup, as far as the file reached there; all the rest are zero.
 * @see reconstruct_from_incremental_file() in PostgreSQL's src/bin/pg_combinebackup/reconstruct.c
 */
export interface IncrementalFile {
  /** Numbers within the file, rising. Their content follows in this order, whole pages of 8 KiB. */
  readonly blocks: Uint32Array;
  /** Blocks from here on that are not sent are zero, whatever the earlier backup has there. */
  readonly truncationBlocks: number;
  /** Blocks of the whole file. */
  readonly lengthBlocks: number;
}

/**
 * Takes a base backup. Calls come in order and never overlap; returning a promise means "wait", and nothing is read
 * from the server until it settles. A throw or rejection ends the backup and the connection.
 */
export interface BaseBackupSink {
  start?(info: BackupStart): void | Promise<void>;
  /**
   * A file, directory or symlink. Tablespaces come first, so their members precede the link `pg_tblspc/<oid>` and the
   * directory it lies in; within the data directory and within a tablespace a directory comes before its content.
   */
  entry(entry: BackupEntry): void | Promise<void>;
  /** Content of the current file. The view is valid during the call, or until the returned promise settles. */
  bytes(view: Uint8Array): void | Promise<void>;
  /** The current file is complete. Not called for directories and symlinks. */
  end(): void | Promise<void>;
  /** Bytes so far, counted like the estimate (with the archive's headers), about once a mebibyte. */
  progress?(doneBytes: number): void;
}

/** What to ask of the server. WAL is never asked for. */
export interface BaseBackupOptions extends Abortable {
  /** Stands in backup_label. No control characters, at most 1023 bytes. */
  readonly label: string;
  /** `fast` makes the server checkpoint at once; `spread` may keep it silent for minutes first. */
  readonly checkpoint: 'fast' | 'spread';
  /** Limit of the server, 32 to 1048576 KiB per second. Default none. */
  readonly maxRateKiB?: number | undefined;
  /** Checksums in the server's manifest. Default CRC32C. */
  readonly manifestChecksums?: 'CRC32C' | 'SHA256' | 'NONE' | undefined;
  /** Let the server verify page checksums as it reads; it then reports a fault after the last byte. Default true. */
  readonly verifyChecksums?: boolean | undefined;
  /**
   * Send only blocks changed since the backup whose manifest was uploaded before on this connection (PostgreSQL 17 and
   * newer). Default false.
   */
  readonly incremental?: boolean | undefined;
}

/** What the server says after the last byte. */
export interface BaseBackupResult {
  /** The backup is consistent once WAL up to here is replayed. */
  readonly stopLsn: Lsn;
  readonly stopTimeline: TimelineId;
  /** The server's backup manifest, byte for byte. */
  readonly manifest: Buffer;
}

/** A connection to a walsender. One command at a time. */
export interface ReplicationConnection extends AsyncDisposable {
  /** What the server reported, e.g. `server_version`, `in_hot_standby`, `TimeZone`. */
  readonly parameters: ReadonlyMap<string, string>;
  /** E.g. 180006. */
  readonly versionNumber: number;
  /** Who the server is and where its WAL ends. */
  identifySystem(
    options?: Abortable,
  ): Promise<{ readonly systemIdentifier: string; readonly timeline: TimelineId; readonly lsn: Lsn }>;
  /** Value of a setting, as `SHOW` prints it. */
  show(setting: string, options?: Abortable): Promise<string>;
  /**
   * A timeline history file as the server has it. Timeline 1 has none.
   * @throws {KeyframeError} SERVER_ERROR with sqlstate 58P01 when there is none.
   */
  timelineHistory(
    timeline: TimelineId,
    options?: Abortable,
  ): Promise<{ readonly name: string; readonly content: Buffer }>;
  /**
   * Streams a base backup into `sink`, without WAL: the archive must have it from `startLsn` to `stopLsn`.
   * After an abort or a fault of the sink the connection is closed.
   * @throws {KeyframeError} SERVER_ERROR, SERVER_UNREACHABLE, SERVER_UNSUPPORTED, INVALID_OPTION, CORRUPT,
   *   INCREMENTAL_UNAVAILABLE when the server cannot build on the uploaded manifest: take a full one
   * @see https://www.postgresql.org/docs/18/protocol-replication.html#PROTOCOL-REPLICATION-BASE-BACKUP
   */
  baseBackup(options: BaseBackupOptions, sink: BaseBackupSink): Promise<BaseBackupResult>;
  /**
   * Tells the server which backup the next incremental one builds on (PostgreSQL 17 and newer). The pieces of the
   * manifest are sent as they come.
   * @throws {KeyframeError} SERVER_UNSUPPORTED, INCREMENTAL_UNAVAILABLE, SERVER_ERROR, SERVER_UNREACHABLE
   * @see https://www.postgresql.org/docs/18/protocol-replication.html#PROTOCOL-REPLICATION-UPLOAD-MANIFEST
   */
  uploadManifest(manifest: Iterable<Uint8Array> | AsyncIterable<Uint8Array>, options?: Abortable): Promise<void>;
  /**
   * Streams WAL into `sink` until the server's timeline ends (then what follows it), the stream is stopped, or the
   * connection breaks. After an abort or a fault of the sink the connection is closed.
   * @throws {KeyframeError} SERVER_ERROR with sqlstate 58P01 when the WAL is gone, 55006 while another uses the slot;
   *   SERVER_UNREACHABLE, INVALID_OPTION
   */
  streamWal(options: WalStreamOptions, sink: WalStreamSink): Promise<TimelineSwitch | undefined>;
  /** Creates a physical slot that keeps WAL from now on. @throws {KeyframeError} SERVER_ERROR, 42710 when it is there */
  createSlot(name: string, options?: Abortable): Promise<void>;
  /** Removes a slot that nobody uses. @throws {KeyframeError} SERVER_ERROR, 42704 when there is none, 55006 when it is in use */
  dropSlot(name: string, options?: Abortable): Promise<void>;
  /** A physical slot, `undefined` when there is none. PostgreSQL 15 and newer. @throws {KeyframeError} SERVER_ERROR */
  readSlot(name: string, options?: Abortable): Promise<PhysicalSlot | undefined>;
  /** Idempotent. */
  close(): Promise<void>;
}
