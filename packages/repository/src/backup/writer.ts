import type { BaseFile } from './base-files.ts';
import type { BackupFacts, BackupRecord } from './record.ts';

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
