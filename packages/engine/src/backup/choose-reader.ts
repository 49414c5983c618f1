/** How the files of a cluster are read. @packageDocumentation */
import { summaryFaultMendedIn } from '@keyframe/postgres';
import type { BackupMethod } from '@keyframe/repository';
import type { BaseChoice } from './choose-base.ts';
import type { SourceFacts } from './source-facts.ts';

/** The decision. */
export interface ReaderChoice {
  readonly method: BackupMethod;
  /** Why the server is not asked for changed blocks alone, where it could have been. */
  readonly why: string | undefined;
  /** What is to be said of a server whose changed blocks are asked for. */
  readonly warning: string | undefined;
}

const FIRST_WITH_SUMMARIES = 170_000;

/**
 * Blocks chosen by the server's WAL summaries are taken only while it stays on one timeline: a summarizer that ran ahead of
 * a recovery has left summaries of WAL that was never replayed.
 */
export function chooseReader(
  from: 'stream' | 'local',
  { type, base }: BaseChoice,
  source: SourceFacts,
  suspects = 0,
): ReaderChoice {
  if (from === 'local') return { method: 'local', why: undefined, warning: undefined };
  const stream = (why: string | undefined): ReaderChoice => ({ method: 'stream', why, warning: undefined });
  if (type === 'full' || base === undefined || source.postgresVersion < FIRST_WITH_SUMMARIES) return stream(undefined);
  if (!source.summarizesWal) return stream('summarize_wal is off');
  if (base.timeline !== source.timeline || base.stopTimeline !== source.timeline)
    return stream(`the server went from timeline ${base.timeline} to ${source.timeline} since backup ${base.label}`);
  // What lies in them is stored anew, so its bytes must come.
  if (suspects > 0) return stream(`packs that backup ${base.label} needs are damaged or missing`);
  if ((base.damagedPageCount ?? 0) > 0) return stream(`backup ${base.label} has damaged pages`);
  return { method: 'stream-incremental', why: undefined, warning: warningOf(source.postgresVersion) };
}

function warningOf(version: number): string | undefined {
  const major = Math.floor(version / 10_000);
  const fixed = summaryFaultMendedIn(version);
  if (fixed === undefined) return undefined;
  return `PostgreSQL ${major}.${version % 10_000} has a fault in its WAL summaries after a promotion, mended in ${major}.${fixed % 10_000}: Keyframe builds on them only within one timeline`;
}
