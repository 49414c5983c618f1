import type { Abortable, KeyframeError } from '@keyframe/contracts';
import type { BaseFiles } from './base-files.ts';
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

/** What whoever begins a backup says of it. */
export type NewIntent = Omit<BackupIntent, 'label' | 'startedAt' | 'resumes'>;

/** How a backup is begun. */
export interface BeginOptions extends Abortable {
  /** The backup to build on; the intent must name it as `parent`. */
  readonly base?: BaseFiles | undefined;
  /**
   * Content that equals what the base, or an unfinished backup, holds at the same place of the same file is not stored
   * again. Default true.
   */
  readonly reuse?: boolean | undefined;
  /** Memory for packs and frames under way. Default 160 MiB. */
  readonly memoryBytes?: number | undefined;
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
  begin(intent: NewIntent, options?: BeginOptions): Promise<BackupWriter>;
  /** Opens a published backup to build on. @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
  base(record: BackupRecord, options?: Abortable): Promise<BaseFiles>;
  /**
   * Removes what an unfinished backup left. The caller holds the lease, so that nobody still writes it. One that stored
   * much is left alone: the next backups take its packs over, and an expiry removes what none needs.
   * @throws {KeyframeError} CONFLICT when it is published
   */
  discard(label: string, options?: Abortable): Promise<'removed' | 'kept'>;
  /** Opens a manifest; checks its footer and index, loads nothing else. */
  manifest(record: BackupRecord, options?: Abortable): Promise<ManifestReader>;
  /** Reads a whole backup: each pack once, every frame verified before any of its bytes are given out. */
  read(record: BackupRecord, sink: RestoreSink, options?: ReadOptions): Promise<ReadReport>;
}
