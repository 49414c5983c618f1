import type { Abortable, KeyframeError } from '@keyframe/contracts';
import type { BackupIntent, BackupRecord } from './record.ts';
import type { BackupWriter } from './writer.ts';
import type { ManifestReader } from './manifest.ts';
import type { ReadOptions, ReadReport, RestoreSink } from './restore-sink.ts';

/** A backup that was begun and not published: running, interrupted, or given up. */
export interface UnfinishedBackup extends BackupIntent {
  /** Objects it left, and their stored bytes. */
  readonly objects: number;
  readonly storedBytes: number;
}

/** The base backups of one epoch. */
export interface BackupCatalogue {
  /** Published backups in the order they stopped. A damaged record throws, unless `onDamage` takes the fault. */
  list(
    options?: Abortable & { readonly onDamage?: ((fault: KeyframeError) => void) | undefined },
  ): Promise<BackupRecord[]>;
  unfinished(options?: Abortable): Promise<UnfinishedBackup[]>;
  /** @throws {KeyframeError} BACKUP_NOT_FOUND, CORRUPT */
  get(label: string, options?: Abortable): Promise<BackupRecord>;
  /** Begins a backup: writes its intent under a label that sorts by time. */
  begin(intent: Omit<BackupIntent, 'label' | 'startedAt'>, options?: Abortable): Promise<BackupWriter>;
  /**
   * Removes what an unfinished backup left. The caller holds the lease, so that nobody still writes it.
   * @throws {KeyframeError} CONFLICT when it is published
   */
  discard(label: string, options?: Abortable): Promise<void>;
  /** Opens a manifest; checks its footer and index, loads nothing else. */
  manifest(record: BackupRecord, options?: Abortable): Promise<ManifestReader>;
  /** Reads a whole backup: each pack once, every frame verified before any of its bytes are given out. */
  read(record: BackupRecord, sink: RestoreSink, options?: ReadOptions): Promise<ReadReport>;
}
