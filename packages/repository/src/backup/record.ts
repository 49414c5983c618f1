import type { Lsn, TimelineId } from '@keyframe/contracts';
import type { LeaseHolder } from '../lease.ts';
import type { Origin } from '../translate/origin.ts';

/** Where a tablespace lay on the server. */
export interface TablespaceLocation {
  readonly oid: number;
  readonly location: string;
}

/** `full`: every byte was read anew. `incremental`: what did not change since another backup was taken over from it. */
export type BackupType = 'full' | 'incremental';

/** How the files were read: by BASE_BACKUP, by BASE_BACKUP with INCREMENTAL, or from the data directory itself. */
export type BackupMethod = 'stream' | 'stream-incremental' | 'local';

/** A page whose checksum was wrong when it was read, and when it was read again. */
export interface DamagedPage {
  readonly path: string;
  /** Number in the relation, not in the file. */
  readonly block: number;
  /** Name of the relation, where the server told. */
  readonly relation?: string | undefined;
}

/** Written before anything else of a backup: that it was begun, by whom, and whose packs it is going to need. */
export interface BackupIntent {
  readonly label: string;
  readonly type: BackupType;
  readonly method: BackupMethod;
  /** Label of the backup it is built on. */
  readonly parent?: string | undefined;
  /** Labels of unfinished backups whose packs it may take over. */
  readonly resumes?: readonly string[] | undefined;
  readonly startedAt: string;
  readonly holder: LeaseHolder;
  /** Name and version of the program. */
  readonly tool: string;
  /** Of a backup that is being copied from another repository. */
  readonly origin?: Origin | undefined;
}

/** What only the server and the reader of its data know, when all files are in. */
export interface BackupFacts {
  readonly postgresVersion: number;
  readonly timeline: TimelineId;
  readonly startLsn: Lsn;
  readonly stopLsn: Lsn;
  readonly stopTimeline: TimelineId;
  /** By the server's clock; ISO 8601 in UTC, with microseconds where the server told. */
  readonly startedAt: string;
  readonly stoppedAt: string;
  readonly walSegmentSizeBytes: number;
  readonly dataChecksums: boolean;
  readonly tablespaces: readonly TablespaceLocation[];
  /** Text of `backup_label`, byte for byte. */
  readonly backupLabel: string;
  /** Text of `tablespace_map`, when there is one. */
  readonly tablespaceMap?: string | undefined;
  /** `backup_manifest`: the server's own, byte for byte, or one of the same form made from what was stored. */
  readonly serverManifest: Uint8Array;
  /** The first damaged pages that were found; absent when pages were not verified. */
  readonly damagedPages?: readonly DamagedPage[] | undefined;
  /** All damaged pages, also those beyond the list. */
  readonly damagedPageCount?: number | undefined;
}

/**
 * Where a backup of local files began. Each of its packs says it, so that a later backup can tell from the WAL since then what
 * of it is unchanged, should this one be interrupted.
 */
export interface BackupBeginning {
  readonly startLsn: Lsn;
  readonly timeline: TimelineId;
  readonly walSegmentSizeBytes: number;
  readonly dataChecksums: boolean;
}

/** How scattered the bytes of a backup lie. A restore reads whole frames, so it reads more than the backup needs. */
export interface Fragmentation {
  /** Packs of other backups that are named. */
  readonly otherPacks: number;
  /** Ranges that a restore writes one by one. */
  readonly extents: number;
  /** Plain bytes of files that lie in frames. */
  readonly liveBytes: number;
  /** Plain bytes of the frames they lie in. */
  readonly frameBytes: number;
  /** Stored bytes of those frames: what a restore reads. */
  readonly readBytes: number;
}

/** Where a manifest lies and what proves it. */
export interface ManifestReference {
  readonly key: string;
  readonly sizeBytes: number;
  /** Of the whole object. */
  readonly sha256: string;
  /** SHA-256 of the object's footer, from which every other byte of it can be proven. */
  readonly root: string;
  /** The second copy: in the tail of that pack, from that byte on. */
  readonly copy: { readonly key: string; readonly offset: number };
}

/** `backup.json`: a published backup. */
export interface BackupRecord extends Omit<BackupFacts, 'serverManifest' | 'tablespaceMap'> {
  readonly format: number;
  readonly label: string;
  readonly type: BackupType;
  readonly method: BackupMethod;
  /** Label of the backup it was built on. Restoring needs no other manifest than its own. */
  readonly parent?: string | undefined;
  readonly cluster: string;
  readonly epoch: number;
  readonly systemIdentifier: string;
  /** Regular files. */
  readonly files: number;
  /** Sum of their sizes. */
  readonly sizeBytes: number;
  /** What this backup added to the repository. */
  readonly storedBytes: number;
  /** Packs written by this backup. */
  readonly packs: number;
  /** Bytes of files that lie in packs of other backups: they were not stored again. */
  readonly reusedBytes: number;
  /**
   * Bytes of files that were stored anew although nothing of them changed, since the packs that held them were damaged or
   * gone. Absent when there were none.
   */
  readonly renewedBytes?: number | undefined;
  /**
   * Bytes of files that were not read, since an interrupted backup had stored them and the WAL proved that they are as they
   * were. Absent when there were none.
   */
  readonly unreadBytes?: number | undefined;
  /** Absent in records of early releases. */
  readonly fragmentation?: Fragmentation | undefined;
  readonly manifest: ManifestReference;
  readonly tool: string;
  /** Of a backup that was copied from another repository: its manifest there. */
  readonly origin?: Origin | undefined;
}
