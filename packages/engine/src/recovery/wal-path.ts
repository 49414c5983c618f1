/** The archived WAL segments a recovery reads along a timeline's history. @packageDocumentation */
import { historyName, type Lsn, segmentName, type TimelineId } from '@keyframe/contracts';
import { pathOf, segmentTimelines, type TimelineHistory } from '@keyframe/postgres';
import type { WalInventory } from '@keyframe/repository';

/** A segment file that recovery will read. */
export interface PathSegment {
  readonly name: string;
  readonly start: Lsn;
  readonly timeline: TimelineId;
}

export interface WalPath {
  readonly segments: readonly PathSegment[];
  /** The first segment that is missing although the archive holds later WAL of this history. */
  readonly gap: PathSegment | undefined;
  /** The history files recovery asks for. */
  readonly histories: readonly string[];
  /** For every segment with a fork: the name it has on an older timeline, and the child's copy that is listed above. */
  readonly forks: readonly { readonly name: string; readonly copyOf: string }[];
}

/** Lists the archived segments from the one that holds `from`, up to the first that is missing. */
export function walPathFrom(
  history: TimelineHistory,
  inventory: Pick<WalInventory, 'has' | 'ranges'>,
  from: Lsn,
  segmentSizeBytes: number,
): WalPath {
  const size = BigInt(segmentSizeBytes);
  const newest = newestNumber(history, inventory, size);
  const segments: PathSegment[] = [];
  const forks: { name: string; copyOf: string }[] = [];
  let gap: PathSegment | undefined;
  for (let number = from / size; number <= newest; number += 1n) {
    // The parent's copy of the segment with a fork goes on into the dead branch, and PostgreSQL would replay it past the
    // fork: only the child's copy counts.
    const [timeline = history.timeline, ...older] = segmentTimelines(history, number, segmentSizeBytes);
    const segment = { name: segmentName(timeline, number, segmentSizeBytes), start: (number * size) as Lsn, timeline };
    if (!inventory.has(segment.name)) {
      gap = segment;
      break;
    }
    segments.push(segment);
    for (const each of older) forks.push({ name: segmentName(each, number, segmentSizeBytes), copyOf: segment.name });
  }
  const histories = pathOf(history)
    .filter(({ timeline }) => timeline > 1)
    .map(({ timeline }) => historyName(timeline));
  return { segments, gap, histories, forks };
}

/** Running number of the newest archived segment of this history; what a parent wrote past its fork is a dead branch. */
function newestNumber(history: TimelineHistory, inventory: Pick<WalInventory, 'ranges'>, size: bigint): bigint {
  let newest = -1n;
  for (const { timeline, end } of pathOf(history)) {
    const last = inventory.ranges(timeline).at(-1)?.last;
    if (last === undefined) continue;
    const counted = end === undefined || last < end / size ? last : end / size;
    if (counted > newest) newest = counted;
  }
  return newest;
}
