import type { Abortable, Lsn, TimelineId } from '@keyframe/contracts';
import type { BackupEntry, BackupStart } from '../replication/types.ts';

/** How a backup of local files begins. */
export interface LocalBackupOptions extends Abortable {
  /** Stands in backup_label. No control characters, at most 1023 bytes. */
  readonly label: string;
  /** `fast` makes the server checkpoint at once; `spread` may take minutes. */
  readonly checkpoint: 'fast' | 'spread';
}

/** A member of the data directory, with the place where it can be read on this machine. */
export interface LocalEntry extends BackupEntry {
  /** Absolute path of a file; `undefined` for directories and symlinks. May be handed to another thread. */
  readonly source: string | undefined;
}

/** How the data directory is walked. */
export interface WalkOptions extends Abortable {
  /** Told about what is left out since it is neither file nor directory, such as links outside pg_tblspc and sockets. */
  readonly onSkipped?: ((path: string) => void) | undefined;
}

/** A file under backup. Its size stays what it was when it was opened, whatever the server does to it meanwhile. */
export interface LocalFile extends AsyncDisposable {
  /** As given, with size and time of modification as they were when the file was opened. */
  readonly entry: BackupEntry;
  /**
   * Reads at `offset` until `into` is full or the file is over, and says how many bytes it read. Where the file has
   * been truncated since it was opened there are zeros, as in PostgreSQL's own base backup: replay truncates it again.
   * Calls may overlap.
   */
  read(into: Uint8Array, offset: number, options?: Abortable): Promise<number>;
  /** Idempotent. */
  close(): Promise<void>;
}

/** A file that the server hands out at the end; it belongs into the backup, never into the live data directory. */
export interface LocalBackupFile {
  readonly entry: BackupEntry;
  readonly content: Buffer;
}

/** What the server says at the end. */
export interface LocalBackupEnd {
  /** The backup is consistent once WAL up to here is replayed. */
  readonly stopLsn: Lsn;
  readonly stopTimeline: TimelineId;
  /** `backup_label`, and `tablespace_map` where there are tablespaces: byte for byte. */
  readonly files: readonly LocalBackupFile[];
}

/** A base backup that reads the data directory itself, under one session that is held from start to stop. */
export interface LocalBackup extends AsyncDisposable {
  readonly start: BackupStart;
  readonly systemIdentifier: string;
  readonly dataDirectory: string;
  /** True when the server is a standby: its stop needs WAL that the primary has yet to write. */
  readonly standby: boolean;
  /** Aborts with the reason as soon as the session is lost or the server went away: the backup is void then. */
  readonly lost: AbortSignal;
  /**
   * Everything that BASE_BACKUP would send, without `backup_label`. Tablespaces come first, so their members precede the
   * link `pg_tblspc/<oid>` and the directory it lies in; else a directory comes before its content. `global/pg_control` is
   * the last of all: whatever is read at the same time must be read to its end before that one is opened.
   */
  entries(options?: WalkOptions): AsyncIterable<LocalEntry>;
  /**
   * Ends the backup on the server. Everything must have been read before.
   * @throws {KeyframeError} SERVER_ERROR when a standby was promoted meanwhile; SERVER_UNREACHABLE when the session is lost.
   */
  stop(options?: Abortable): Promise<LocalBackupEnd>;
  /** Gives the backup up unless it was stopped, and ends the session. Idempotent. */
  close(): Promise<void>;
}
