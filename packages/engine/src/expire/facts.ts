import type { Lsn, TimelineId } from '@keyframe/contracts';
import type { TimelineHistory } from '@keyframe/postgres';
import type { Hold, PackName, TimelineSurvey, TombstoneState, WalCompanion } from '@keyframe/repository';

/** A published backup, expired or not. */
export interface BackupFact {
  readonly epoch: number;
  readonly label: string;
  readonly type: 'full' | 'incremental';
  readonly timeline: TimelineId;
  readonly startLsn: Lsn;
  readonly stopLsn: Lsn;
  /** ISO 8601 in UTC, by the server's clock. */
  readonly startedAt: string;
  readonly stoppedAt: string;
  /** Every pack it needs; undefined when its manifest cannot be read. */
  readonly uses: readonly PackName[] | undefined;
}

/** A backup that was begun and is not published. */
export interface UnfinishedFact {
  readonly epoch: number;
  readonly label: string;
  readonly startedAt: string;
  /** Labels whose packs it may come to need, as its intent names them. */
  readonly bases: readonly string[];
  /** `given-up`: its process is dead, or for a day it has not held the lease. */
  readonly state: 'running' | 'given-up';
  /** Its manifest is there: only its publication is missing, or was lost. */
  readonly complete: boolean;
}

/** What lies under a label. */
export interface LabelFact {
  readonly label: string;
  readonly packs: ReadonlyMap<number, number>;
  readonly otherBytes: number;
}

/** One epoch, as an expiry must know it. */
export interface EpochFacts {
  readonly epoch: number;
  readonly segmentSizeBytes: number;
  readonly backups: readonly BackupFact[];
  readonly unfinished: readonly UnfinishedFact[];
  readonly labels: readonly LabelFact[];
  /** Of every timeline that has a history file, and of timeline 1. */
  readonly histories: readonly TimelineHistory[];
  readonly timelines: ReadonlyMap<TimelineId, TimelineSurvey>;
  readonly companions: readonly WalCompanion[];
}

/** Everything an expiry is decided from. */
export interface ExpiryFacts {
  /** Oldest first. */
  readonly epochs: readonly EpochFacts[];
  readonly tombstones: TombstoneState;
  /** Number of the object they stand in. */
  readonly tombstoneNumber: number;
  readonly holds: readonly Hold[];
  /** Backups that restores read from. Labels in any case: a lease is named in lower case. */
  readonly restoring: readonly { readonly epoch: number; readonly label: string }[];
  /** Why nothing may be removed now, if so. */
  readonly blocks: readonly string[];
}

/** Name of a label across epochs. */
export function nameOf({ epoch, label }: { readonly epoch: number; readonly label: string }): string {
  return `${epoch}/${label}`;
}
