import type { TimelineId } from '@keyframe/contracts';
import type { TimelineSurvey } from '@keyframe/repository';
import type { EpochFacts, ExpiryFacts } from './facts.ts';
import type { RetentionPolicy } from './policy.ts';
import { difference, intersection, type NumberRange, rangesOf, union } from './segment-ranges.ts';
import { neededSegments, type WalNeed } from './wal-line.ts';

/** Segments of one timeline that nobody needs. */
export interface WalGoing extends NumberRange {
  readonly epoch: number;
  readonly timeline: TimelineId;
  readonly segments: number;
  readonly sizeBytes: number;
  readonly segmentSizeBytes: number;
}

/** A backup history file is archived after the segment it goes with, and clocks differ. */
const LOCK_MARGIN_MS = 86_400_000;

/** A running backup's WAL was archived after it began; a standby's may begin at an older restart point. */
const BEFORE_BACKUP_MS = 86_400_000;

/** When WAL of today is locked until that time, what was archived before is not locked any more. */
export function lockedAfter({ lockedMs }: RetentionPolicy, now: Date): number | undefined {
  return lockedMs === undefined ? undefined : now.getTime() - lockedMs - LOCK_MARGIN_MS;
}

/** What protects WAL beside the needs of backups. */
export interface WalShelter {
  /** Where nothing of a timeline is kept, WAL archived later than this is left alone; milliseconds since 1970. */
  readonly youngerThanMs: number;
  /** WAL archived later than this is locked; milliseconds since 1970. Default: none is. */
  readonly lockedAfterMs?: number | undefined;
  /** Unfinished backups that may still become published ones. */
  readonly mayFinish: (unfinished: { readonly epoch: number; readonly label: string }) => boolean;
}

/** Segments that none of the needs names. */
export function walGoing(facts: ExpiryFacts, needs: readonly WalNeed[], shelter: WalShelter): WalGoing[] {
  return facts.epochs.flatMap((each, index) => {
    const own = needs.filter(({ epoch }) => epoch === each.epoch);
    // The first backup of a new epoch is still to come.
    if (own.length === 0 && index === facts.epochs.length - 1) return [];
    const needed = neededSegments(own, each.segmentSizeBytes);
    const begunMs = begunFloor(each, shelter);
    return [...each.timelines].flatMap(([timeline, survey]) => {
      // Without its history file nobody can say what a timeline's WAL belongs to.
      if (!each.histories.some((history) => history.timeline === timeline)) return [];
      // A timeline on which nothing is kept may be waiting for its first backup.
      const unlockedMs = Math.min(begunMs, shelter.lockedAfterMs ?? Infinity);
      const floorMs = needed.has(timeline) ? unlockedMs : Math.min(unlockedMs, shelter.youngerThanMs);
      const old = survey.numbers.filter((_, at) => (survey.modifiedMs[at] ?? Infinity) < floorMs);
      const going = difference(rangesOf(old), needed.get(timeline) ?? []);
      return splitAtGaps(going, survey).map((range) => measured(each, timeline, range, survey));
    });
  });
}

function begunFloor({ unfinished }: EpochFacts, { mayFinish }: WalShelter): number {
  const begun = unfinished.filter(mayFinish).map(({ startedAt }) => Date.parse(startedAt) - BEFORE_BACKUP_MS);
  return Math.min(Infinity, ...begun);
}

/** Ranges of numbers that are there. */
function splitAtGaps(ranges: readonly NumberRange[], { numbers }: TimelineSurvey): NumberRange[] {
  return intersection(ranges, rangesOf(numbers));
}

function measured(
  { epoch, segmentSizeBytes }: EpochFacts,
  timeline: TimelineId,
  { first, last }: NumberRange,
  { numbers, sizes }: TimelineSurvey,
): WalGoing {
  let [segments, sizeBytes] = [0, 0];
  for (const [at, number] of numbers.entries())
    if (first <= number && number <= last) {
      segments += 1;
      sizeBytes += sizes[at] ?? 0;
    }
  return { epoch, timeline, first, last, segments, sizeBytes, segmentSizeBytes };
}

/**
 * Backup history files, partial segments and streamed parts of segments that go. A partial one follows the last whole segment
 * of its timeline. So do parts of the segment that is open; those go only when nothing of their timeline stays.
 */
export function companionsOf(
  { epoch, companions, timelines }: EpochFacts,
  going: readonly WalGoing[],
): EpochFacts['companions'] {
  return companions.filter(({ name, timeline, number }) =>
    going.some((range) => {
      if (range.epoch !== epoch || range.timeline !== timeline || number < range.first) return false;
      const isLast = timelines.get(timeline)?.numbers.at(-1) === range.last;
      const reach = range.last + (isLast || !name.includes('.parts/') ? 1 : 0);
      return number <= reach;
    }),
  );
}

/** What is left of the segments when those are gone. */
export function withoutWal(facts: EpochFacts, going: readonly WalGoing[]): ReadonlyMap<TimelineId, NumberRange[]> {
  return new Map(
    [...facts.timelines].map(([timeline, { numbers }]) => {
      const gone = going.filter((range) => range.epoch === facts.epoch && range.timeline === timeline);
      return [timeline, difference(rangesOf(numbers), union(gone))];
    }),
  );
}
