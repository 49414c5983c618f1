import type { KeyframeError, TimelineId } from '@keyframe/contracts';
import type { PackUse } from '../backup/manifest.ts';
import type { BackupIntent, BackupRecord } from '../backup/record.ts';
import type { EpochArchive } from '../cluster.ts';
import type { LeaseHolder } from '../lease.ts';

/** Everything that lies under one label. */
export interface LabelSurvey {
  readonly label: string;
  /** Of a published backup, expired or not. */
  readonly record: BackupRecord | undefined;
  /** Its intent; undefined also where nothing but packs is left. */
  readonly intent: BackupIntent | undefined;
  /** The manifest object is there. */
  readonly hasManifest: boolean;
  /** Its packs that are there, by number, and their stored bytes. */
  readonly packs: ReadonlyMap<number, number>;
  /** Stored bytes of everything but packs. */
  readonly otherBytes: number;
  /** Packs that its manifest names; undefined when it is not published or its manifest cannot be read. */
  readonly uses: readonly PackUse[] | undefined;
  /** Why record, intent or manifest cannot be read. */
  readonly fault: KeyframeError | undefined;
}

/** The segments of one timeline, ascending, in parallel arrays: an archive may hold millions. */
export interface TimelineSurvey {
  /** Running numbers (LSN divided by the segment size). */
  readonly numbers: readonly number[];
  readonly sizes: readonly number[];
  /** When each was archived, by the store's clock; milliseconds since 1970. */
  readonly modifiedMs: readonly number[];
}

/** A backup history file, a partial segment or a streamed part of one, which goes with the segment it belongs to. */
export interface WalCompanion {
  readonly name: string;
  readonly timeline: TimelineId;
  readonly number: number;
  readonly sizeBytes: number;
}

/** All that is kept of one epoch. */
export interface EpochSurvey {
  readonly archive: EpochArchive;
  readonly labels: readonly LabelSurvey[];
  /** Undefined when there is no WAL from which it could be told, and no backup. */
  readonly segmentSizeBytes: number | undefined;
  readonly timelines: ReadonlyMap<TimelineId, TimelineSurvey>;
  readonly companions: readonly WalCompanion[];
  /** Timelines that have a history file, ascending. */
  readonly histories: readonly TimelineId[];
}

/** A lease as its newest object tells it. */
export interface LeaseView {
  /** Its name below the prefix that was asked for. */
  readonly name: string;
  readonly holder: LeaseHolder;
  readonly expiresAt: string;
  /** When it was taken or renewed, by the store's clock. */
  readonly writtenAt: Date;
  readonly released: boolean;
}

/** Objects to be removed. They go in the order of safety: what makes a backup count first, what says that it was begun last. */
export interface Removal {
  /** Backups, published or not, whose record, manifest and intent go. */
  readonly labels: readonly { readonly epoch: number; readonly label: string }[];
  readonly packs: readonly { readonly epoch: number; readonly label: string; readonly number: number }[];
  /** WAL files by name: segments, and their companions. */
  readonly wal: readonly { readonly epoch: number; readonly name: string }[];
}
