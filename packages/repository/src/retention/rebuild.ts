import type { Abortable, KeyframeError } from '@keyframe/contracts';
import type { BackupRecord } from '../backup/record.ts';

/**
 * What can become of a backup with a loss: `can-return`; `no-copy`: no whole manifest is left anywhere; `packs-missing`: its
 * content is gone; `wal-missing`: it would never get consistent, so it does not count; `expired`: it is marked, so that
 * `undelete` comes first; `removed`: an expiry removed it, and what is left of it serves younger backups.
 */
export type RebuildVerdict = 'can-return' | 'no-copy' | 'packs-missing' | 'wal-missing' | 'expired' | 'removed';

/** A backup whose `backup.json` or manifest is lost or damaged. */
export interface LostBackup {
  readonly epoch: number;
  readonly label: string;
  readonly lost: readonly ('record' | 'manifest')[];
  readonly verdict: RebuildVerdict;
  /** What of it is missing, for people. */
  readonly detail: string | undefined;
  /** Key of the object that holds the copy. */
  readonly source: string | undefined;
  /** What its record was, and will be again. */
  readonly record: BackupRecord | undefined;
}

/** Brings backups back from the copies of their manifests in packs. */
export interface Rebuild {
  /**
   * Changes nothing. Reads a little of each backup, all of none. `onFault` is told what could not be read of the memory of
   * removed backups: one that only it would have named may be offered.
   */
  find(
    options?: Abortable & { readonly onFault?: ((fault: KeyframeError) => void) | undefined },
  ): Promise<LostBackup[]>;
  /**
   * Writes the lost objects of one backup that {@link find} says can return, its record last.
   * @throws {KeyframeError} CORRUPT when the copy fails its hash after all, CONFLICT when it was expired meanwhile
   */
  bringBack(lost: LostBackup, options?: Abortable): Promise<BackupRecord>;
}
