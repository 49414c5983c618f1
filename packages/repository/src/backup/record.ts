import type { Lsn, TimelineId } from '@keyframe/contracts';
import type { LeaseHolder } from '../lease.ts';

/** Where a tablespace lay on the server. */
export interface TablespaceLocation {
  readonly oid: number;
  readonly location: string;
}

/** Written before anything else of a backup: that it was begun, by whom. */
export interface BackupIntent {
  readonly label: string;
  readonly type: 'full';
  readonly method: 'stream';
  readonly startedAt: string;
  readonly holder: LeaseHolder;
  /** Name and version of the program. */
  readonly tool: string;
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
  /** The server's `backup_manifest`, byte for byte. */
  readonly serverManifest: Uint8Array;
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
  readonly type: 'full';
  readonly method: 'stream';
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
  readonly manifest: ManifestReference;
  readonly tool: string;
}
