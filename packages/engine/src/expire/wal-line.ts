/** The WAL of a timeline's history in an epoch, counted in segments. @packageDocumentation */
import type { Lsn, TimelineId } from '@keyframe/contracts';
import { historyReaches, pathOf, type TimelineHistory } from '@keyframe/postgres';
import type { BackupFact, EpochFacts } from './facts.ts';
import { type NumberRange, rangeAt } from './segment-ranges.ts';

/** Which segments of which timelines there are. */
export type HeldWal = ReadonlyMap<TimelineId, readonly NumberRange[]>;

/** WAL that must stay: along a history from one LSN to another, or to its end. */
export interface WalNeed {
  readonly epoch: number;
  readonly history: TimelineHistory;
  readonly from: Lsn;
  /** Exclusive. */
  readonly to: Lsn | undefined;
}

const numberOf = (position: bigint, size: bigint): number => Number(position / size);

/**
 * The last segment up to which a history can be replayed without a hole from `from` on; undefined when that one is missing.
 * Where a segment holds a fork, the child's copy counts.
 */
export function replayableTo(
  history: TimelineHistory,
  held: HeldWal,
  from: number,
  segmentSizeBytes: number,
): { readonly timeline: TimelineId; readonly number: number } | undefined {
  const size = BigInt(segmentSizeBytes);
  const path = pathOf(history);
  let at = from;
  let reached: { timeline: TimelineId; number: number } | undefined;
  for (const [index, { timeline, end }] of path.entries()) {
    const next = path[index + 1];
    const owned = end === undefined || next === undefined ? Infinity : numberOf(next.begin, size) - 1;
    if (at > owned) continue;
    const range = rangeAt(held.get(timeline) ?? [], at);
    if (range === undefined) return reached;
    const number = Math.min(range.last, owned);
    reached = { timeline, number };
    if (number < owned) return reached;
    at = number + 1;
  }
  return reached;
}

/** The history of the backup's own timeline; without a history file, that timeline alone. */
export function ownHistory({ histories }: EpochFacts, timeline: TimelineId): TimelineHistory {
  return histories.find((each) => each.timeline === timeline) ?? { timeline, ancestors: [] };
}

/** Whether all WAL from the start to the stop of a backup is there: without it the backup never gets consistent. */
export function isRestorable(facts: EpochFacts, held: HeldWal, backup: BackupFact): boolean {
  const size = BigInt(facts.segmentSizeBytes);
  const history = ownHistory(facts, backup.timeline);
  const reached = replayableTo(history, held, numberOf(backup.startLsn, size), facts.segmentSizeBytes);
  return reached !== undefined && reached.number >= numberOf(backup.stopLsn - 1n, size);
}

/** The histories along which a backup can be recovered: its own timeline's, and those that left it later. */
export function linesOf(facts: EpochFacts, { timeline, stopLsn }: BackupFact): readonly TimelineHistory[] {
  const lines = facts.histories.filter((history) => historyReaches(history, timeline, stopLsn));
  return lines.some((history) => history.timeline === timeline) ? lines : [...lines, ownHistory(facts, timeline)];
}

/** The segments that needs name, by timeline. A segment with a fork is kept under both names. */
export function neededSegments(needs: readonly WalNeed[], segmentSizeBytes: number): Map<TimelineId, NumberRange[]> {
  const size = BigInt(segmentSizeBytes);
  const needed = new Map<TimelineId, NumberRange[]>();
  for (const { history, from, to } of needs)
    for (const { timeline, begin, end } of pathOf(history)) {
      if ((end !== undefined && end < from) || (to !== undefined && begin >= to)) continue;
      const first = numberOf(begin > from ? begin : from, size);
      const last = Math.min(
        end === undefined ? Infinity : numberOf(end, size),
        to === undefined ? Infinity : numberOf(to - 1n, size),
      );
      needed.set(timeline, [...(needed.get(timeline) ?? []), { first, last }]);
    }
  return needed;
}

/** When a timeline's newest segment was archived, by the store's clock; milliseconds since 1970. */
export function lastArchivedMs({ timelines }: EpochFacts, timeline: TimelineId): number | undefined {
  return timelines.get(timeline)?.modifiedMs.reduce((latest, each) => Math.max(latest, each), 0);
}
