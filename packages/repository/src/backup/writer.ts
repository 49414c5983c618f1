import type { BaseFile } from './base-files.ts';
import type { BackupBeginning, BackupFacts, BackupRecord } from './record.ts';

/** A directory, or what every entry has. */
export interface NewEntry {
  /** Relative to the data directory, `/`-separated; tablespace members as `pg_tblspc/<oid>/…`. */
  readonly path: string;
  /** The path's bytes, given only when they are not the UTF-8 form of `path`. */
  readonly rawPath?: Uint8Array | undefined;
  /** Permission bits. */
  readonly mode: number;
  readonly modifiedAtSeconds: number;
}

/** A file of the backup before its bytes come. */
export interface NewFile extends NewEntry {
  /** Exactly as many bytes must be written. */
  readonly sizeBytes: number;
}

/** A symbolic link of the backup. */
export interface NewSymlink extends NewEntry {
  readonly linkTarget: string;
}

/** A range of a file that an unfinished backup stored, in a pack that is whole. */
export interface StoredRange {
  /** Label of that backup. */
  readonly label: string;
  readonly fileOffset: number;
  readonly sizeBytes: number;
}

/** An unfinished backup of which ranges can be taken over without a look at the file. */
export interface InterruptedBackup {
  readonly label: string;
  readonly begun: BackupBeginning;
  /** Plain bytes of files in its packs. */
  readonly plainBytes: number;
}

/** Takes the content of one file. Several may be open at once. */
export interface FileSink {
  /** Copies the view before it returns. A promise means: write no more until it settles. Throws what failed earlier. */
  write(view: Uint8Array): void | Promise<void>;
  /**
   * The next bytes equal those of the base file at the same place. With a view of them the writer may store them anew
   * where the base is scattered; without one it reads them from the base when it must. Waiting as with `write`.
   * @throws {KeyframeError} INTERNAL when there is no base, or the base ends before; CORRUPT when it is damaged
   */
  keep(sizeBytes: number, view?: Uint8Array): void | Promise<void>;
  /**
   * What interrupted backups have of the file, in ranges that can be taken over one by one; by place, of one place the newest
   * backup first. Whether their content is still that of the file is for the caller to know.
   */
  stored(): Promise<readonly StoredRange[]>;
  /** The next bytes are that range, which {@link stored} told of: they need not be read. Waiting as with `write`. */
  take(range: StoredRange): void | Promise<void>;
  /** The next bytes may be damaged: nobody takes them over unseen. */
  distrust(sizeBytes: number): void;
  /** @throws {KeyframeError} INTERNAL unless exactly the announced size was written */
  end(): void | Promise<void>;
}

/** Everything of a backup is durable except the record that makes it count. */
export interface PreparedBackup {
  readonly record: BackupRecord;
}

/** Writes one backup. The signal given to `begin` governs all of it. */
export interface BackupWriter {
  readonly label: string;
  readonly written: { readonly plainBytes: number; readonly storedBytes: number; readonly objects: number };
  /** Labels of unfinished backups of whose content something is in this one; all of them once it is finished. */
  readonly takenOver: readonly string[];
  /** Interrupted backups that say where they began; the newest first. */
  readonly interrupted: readonly InterruptedBackup[];
  /**
   * Where this backup of local files began; to be told before the first file, and of a primary alone: should it be
   * interrupted, the next one trusts in it.
   */
  began(beginning: BackupBeginning): void;
  directory(entry: NewEntry): void | Promise<void>;
  symlink(entry: NewSymlink): void | Promise<void>;
  /** `base` is the same file in the backup to build on: the one for which `keep` speaks. */
  file(entry: NewFile, base?: BaseFile): FileSink;
  /** Flushes all packs, then writes the manifest, twice. What describes the backup may be on its way meanwhile. */
  finish(facts: BackupFacts | Promise<BackupFacts>): Promise<PreparedBackup>;
  /** Writes `backup.json`. Before it the backup does not count, after it the backup is durable. */
  publish(prepared: PreparedBackup): Promise<BackupRecord>;
  /**
   * Gives the backup up and removes what it stored. Once `publish` was tried nothing is removed: it may have succeeded.
   * Never throws for a store that refuses to delete.
   */
  abandon(reason: unknown): Promise<void>;
}
