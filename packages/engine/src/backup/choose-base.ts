/** Which backup the next one is built on, and how far its word is taken. @packageDocumentation */
import { formatLsn, KeyframeError } from '@keyframe/contracts';
import { historyContains, historyReaches, type TimelineHistory } from '@keyframe/postgres';
import type { BackupRecord, BackupType } from '@keyframe/repository';
import type { SourceFacts } from './source-facts.ts';

/** What a user asks for. `auto`: an increment where one can be built, else a full backup. */
export type WantedType = 'auto' | BackupType;

/** What the decision rests on. */
export interface BaseQuestion {
  readonly wanted: WantedType;
  /** Content that the repository holds already may be referenced. */
  readonly reuse: boolean;
  /** Published backups of the epoch in the order they stopped. */
  readonly backups: readonly BackupRecord[];
  readonly source: SourceFacts;
  readonly history: TimelineHistory;
}

/** The decision. */
export interface BaseChoice {
  readonly type: BackupType;
  /** For a full backup only content is compared with it: every byte is read anew. */
  readonly base: BackupRecord | undefined;
  /** Why `auto` came to a full backup although there are others. */
  readonly why: string | undefined;
}

/** Pages of another size have headers and checksums elsewhere. */
const PAGE_BYTES = 8192;

/** @throws {KeyframeError} NO_PARENT when an increment is asked for and there is nothing to build it on */
export function chooseBase({ wanted, reuse, backups, source, history }: BaseQuestion): BaseChoice {
  const newest = backups.at(-1);
  const content = reuse ? newest : undefined;
  if (wanted === 'full' || (wanted === 'auto' && !reuse)) return { type: 'full', base: content, why: undefined };
  const reasons: string[] = [];
  for (const backup of backups.toReversed()) {
    const obstacle = obstacleOf(backup, source, history);
    if (obstacle === undefined) return { type: 'incremental', base: backup, why: undefined };
    reasons.push(`${backup.label} ${obstacle}`);
    // Who switched checksums rewrote pages under their old LSNs: nothing from before is built on, not after a switch back either.
    if (backup.dataChecksums !== source.dataChecksums) break;
  }
  const [first] = reasons;
  if (wanted === 'auto') return { type: 'full', base: content, why: first };
  throw noParent(first ?? 'the repository has no backup of it');
}

/** Why the page LSNs of the cluster say nothing against that backup; `undefined` when they do. */
function obstacleOf(backup: BackupRecord, source: SourceFacts, history: TimelineHistory): string | undefined {
  const { postgresVersion, dataChecksums, walSegmentSizeBytes, timeline, startLsn, stopLsn, stopTimeline } = backup;
  if (source.pageBytes !== PAGE_BYTES) return `cannot be compared: the server's pages have ${source.pageBytes} bytes`;
  if (backup.systemIdentifier !== source.systemIdentifier) return 'is of another system identifier';
  if (majorOf(postgresVersion) !== majorOf(source.postgresVersion))
    return `is of PostgreSQL ${majorOf(postgresVersion)}`;
  if (dataChecksums !== source.dataChecksums)
    return `was taken with data checksums ${dataChecksums ? 'on' : 'off'}, and now they are ${dataChecksums ? 'off' : 'on'}`;
  if (walSegmentSizeBytes !== source.segmentSizeBytes)
    return `was taken with WAL segments of another size (${walSegmentSizeBytes} bytes)`;
  if (!historyContains(history, timeline, startLsn))
    return `started at ${formatLsn(startLsn)} on timeline ${timeline}, which timeline ${history.timeline} does not contain`;
  // Its pages are from any time up to its stop: what was written after the fork is no part of this history.
  if (!historyReaches(history, stopTimeline, stopLsn))
    return `stopped at ${formatLsn(stopLsn)} on timeline ${stopTimeline}, past the fork of timeline ${history.timeline}`;
  return undefined;
}

/** What is thrown when an increment was asked for. */
function noParent(why: string): KeyframeError {
  return new KeyframeError('NO_PARENT', `an incremental backup of this cluster has nothing to build on: ${why}`, {
    hint: 'Take a full one with `keyframe backup --type full`, or let `--type auto` choose.',
  });
}

const majorOf = (version: number): number => Math.floor(version / 10_000);
