import type { Abortable } from '@keyframe/contracts';
import type { BackupRecord } from './record.ts';

/** A file of the backup to build on. Only what made it can be given to `BackupWriter.file`. */
export interface BaseFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedAtSeconds: number;
}

/** The files of the backup to build on. Memory does not grow with the backup. */
export interface BaseFiles {
  readonly record: BackupRecord;
  /** Packs that it needs and that are damaged or gone, by key, with the reason: what lay there is stored anew. */
  readonly suspects: ReadonlyMap<string, string>;
  /**
   * Looks a file up with the places of its bytes. Fast in the order in which that backup was taken; any other order
   * works. Call it for few files at a time: what it returns holds a few bytes for each 256 KiB of the file.
   */
  find(path: string, options?: Abortable): Promise<BaseFile | undefined>;
  /** Its `backup_manifest`, piece by piece: a large database has a large one. */
  serverManifest(options?: Abortable): AsyncIterable<Buffer>;
}
