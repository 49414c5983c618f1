/** Which moments can be recovered. Pure. @packageDocumentation */
import type { Lsn, TimelineId } from '@keyframe/contracts';
import type { TimelineHistory } from '@keyframe/postgres';
import type { BackupFact, EpochFacts } from './facts.ts';
import { type HeldWal, isRestorable, linesOf, replayableTo } from './wal-line.ts';

/** Moments without a hole between them, on one timeline's history. */
export interface RecoverableRange {
  readonly epoch: number;
  /** To be named with `--timeline` where there are several. */
  readonly timeline: TimelineId;
  /** The backup from whose end on they are recoverable. */
  readonly backup: string;
  /** When that backup ended. */
  readonly from: string;
  readonly fromLsn: Lsn;
  /** When the last segment was archived: later than its last commit. ISO 8601 in UTC. */
  readonly to: string;
  /** End of the last segment. */
  readonly toLsn: Lsn;
  /** True: no more than the end of the backup and what the segment with its end still holds. */
  readonly ownEnd: boolean;
}

/** The ranges that these backups give with this WAL, oldest first. */
export function recoverableRanges(
  facts: EpochFacts,
  backups: readonly BackupFact[],
  held: HeldWal,
): RecoverableRange[] {
  const usable = backups.filter((backup) => isRestorable(facts, held, backup));
  return facts.histories
    .filter((history) => !goesOnAsAnother(facts, history, held))
    .flatMap((history) => along(facts, history, usable, held));
}

/** A timeline that another one left where its own WAL ends says nothing that the other does not say. */
function goesOnAsAnother(
  { histories, segmentSizeBytes }: EpochFacts,
  { timeline }: TimelineHistory,
  held: HeldWal,
): boolean {
  const last = held.get(timeline)?.at(-1)?.last ?? -1;
  return histories.some((other) =>
    other.ancestors.some(
      (ancestor) =>
        ancestor.timeline === timeline &&
        last <= Number(ancestor.end / BigInt(segmentSizeBytes)) &&
        (held.get(other.timeline) ?? []).length > 0,
    ),
  );
}

function along(
  facts: EpochFacts,
  history: TimelineHistory,
  backups: readonly BackupFact[],
  held: HeldWal,
): RecoverableRange[] {
  const size = facts.segmentSizeBytes;
  const ranges: RecoverableRange[] = [];
  const on = backups
    .filter((backup) => linesOf(facts, backup).includes(history))
    .toSorted((one, other) => (one.stopLsn < other.stopLsn ? -1 : 1));
  for (const backup of on) {
    const reached = replayableTo(history, held, Number(backup.startLsn / BigInt(size)), size);
    if (reached === undefined) continue;
    const toLsn = (BigInt(reached.number + 1) * BigInt(size)) as Lsn;
    if (toLsn < backup.stopLsn || ranges.some((range) => backup.stopLsn < range.toLsn)) continue;
    ranges.push({
      epoch: facts.epoch,
      timeline: history.timeline,
      backup: backup.label,
      from: backup.stoppedAt,
      fromLsn: backup.stopLsn,
      to: new Date(archivedMs(facts, reached)).toISOString(),
      toLsn,
      ownEnd: reached.number === Number((backup.stopLsn - 1n) / BigInt(size)),
    });
  }
  return ranges;
}

function archivedMs(
  { timelines }: EpochFacts,
  reached: { readonly timeline: TimelineId; readonly number: number },
): number {
  const survey = timelines.get(reached.timeline);
  return survey?.modifiedMs[survey.numbers.indexOf(reached.number)] ?? 0;
}
