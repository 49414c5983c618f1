/** Which backups and moments need a WAL segment. @packageDocumentation */
import { formatLsn, type Lsn, segmentName, type TimelineId } from '@keyframe/contracts';
import { historyReaches, segmentTimelines, type TimelineHistory } from '@keyframe/postgres';
import type { BackupRecord, WalInventory } from '@keyframe/repository';
import { walPathFrom } from '../recovery/wal-path.ts';

/** A timeline with the backups that lie on its history, oldest first. */
export interface Course {
  readonly history: TimelineHistory;
  readonly backups: readonly BackupRecord[];
}

/** What is lost with a segment. */
export interface Hits {
  /** Backups that never get consistent without it. */
  readonly backups: readonly string[];
  /** Moments, in words. */
  readonly moments: readonly string[];
}

/** Segments that a course needs and that are not there. */
export interface Gap {
  readonly timeline: TimelineId;
  /** Running numbers. */
  readonly first: bigint;
  readonly last: bigint;
}

/** One course for each timeline whose history is known. */
export function coursesOf(
  histories: ReadonlyMap<TimelineId, TimelineHistory>,
  records: readonly BackupRecord[],
): readonly Course[] {
  return [...histories.values()].map((history) => ({
    history,
    backups: records
      .filter(({ timeline, stopLsn }) => historyReaches(history, timeline, stopLsn))
      .toSorted((one, other) => (one.startLsn < other.startLsn ? -1 : 1)),
  }));
}

const numberAt = (position: bigint, segmentSizeBytes: number): bigint => position / BigInt(segmentSizeBytes);
const lastOf = ({ stopLsn }: BackupRecord, segmentSizeBytes: number): bigint =>
  numberAt(stopLsn - 1n, segmentSizeBytes);

/** What is lost without the segments `first` to `last` of a timeline. */
export function hitsOf(courses: readonly Course[], gap: Gap, segmentSizeBytes: number): Hits {
  const lost = new Set<string>();
  const moments = new Set<string>();
  for (const { history, backups } of courses) {
    // Where a timeline forked off, the child's copy is the one that is read.
    if (segmentTimelines(history, gap.first, segmentSizeBytes)[0] !== gap.timeline) continue;
    const before = backups.filter(({ startLsn }) => numberAt(startLsn, segmentSizeBytes) <= gap.last);
    if (before.length === 0) continue;
    for (const backup of before) if (lastOf(backup, segmentSizeBytes) >= gap.first) lost.add(backup.label);
    const next = backups.find(({ startLsn }) => numberAt(startLsn, segmentSizeBytes) > gap.last);
    const from = formatLsn((gap.first * BigInt(segmentSizeBytes)) as Lsn);
    const to = next === undefined ? 'on' : `to ${formatLsn(next.stopLsn)}, where backup ${next.label} ends`;
    moments.add(`timeline ${history.timeline} from ${from} ${to}`);
  }
  return { backups: [...lost], moments: [...moments] };
}

/** Every gap between the oldest backup of each course and the newest WAL of it, or the end of its last backup. */
export function gapsOf(
  courses: readonly Course[],
  inventory: Pick<WalInventory, 'has' | 'ranges'>,
  segmentSizeBytes: number,
): readonly Gap[] {
  const found = new Map<string, Gap>();
  for (const course of courses)
    for (const gap of gapsOn(course, inventory, segmentSizeBytes)) found.set(`${gap.timeline}/${gap.first}`, gap);
  return [...found.values()];
}

function* gapsOn(
  { history, backups }: Course,
  inventory: Pick<WalInventory, 'has' | 'ranges'>,
  segmentSizeBytes: number,
): Generator<Gap> {
  const [oldest] = backups;
  if (oldest === undefined) return;
  const size = BigInt(segmentSizeBytes);
  let from: Lsn = oldest.startLsn;
  let end = numberAt(from, segmentSizeBytes);
  for (;;) {
    const { segments, gap } = walPathFrom(history, inventory, from, segmentSizeBytes);
    const last = segments.at(-1);
    if (last !== undefined) end = numberAt(last.start, segmentSizeBytes) + 1n;
    if (gap === undefined) break;
    const first = numberAt(gap.start, segmentSizeBytes);
    end = first;
    const newest = inventory.ranges(gap.timeline).at(-1)?.last;
    // A timeline that was begun just now has nothing in the archive yet.
    if (newest === undefined && gap.timeline === history.timeline) break;
    let next = first + 1n;
    while (
      next <= (newest ?? first) &&
      isMissing(history, inventory, { timeline: gap.timeline, number: next, segmentSizeBytes })
    )
      next += 1n;
    yield { timeline: gap.timeline, first, last: next - 1n };
    from = (next * size) as Lsn;
    end = next;
  }
  const needed = backups.reduce((most, each) => {
    const number = lastOf(each, segmentSizeBytes);
    return number > most ? number : most;
  }, -1n);
  if (needed < end) return;
  const [timeline = history.timeline] = segmentTimelines(history, end, segmentSizeBytes);
  yield { timeline, first: end, last: needed };
}

/** The gap of one timeline ends where a segment is there, or where another timeline goes on. */
function isMissing(
  history: TimelineHistory,
  inventory: Pick<WalInventory, 'has'>,
  at: { readonly timeline: TimelineId; readonly number: bigint; readonly segmentSizeBytes: number },
): boolean {
  const { timeline, number, segmentSizeBytes } = at;
  return (
    segmentTimelines(history, number, segmentSizeBytes)[0] === timeline &&
    !inventory.has(segmentName(timeline, number, segmentSizeBytes))
  );
}
