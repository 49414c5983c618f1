/** The archived WAL segments a recovery reads along a timeline's history. @packageDocumentation */
import { historyName, type Lsn, segmentName, type TimelineId } from '@keyframe/contracts';
import { pathOf, segmentTimelines, type TimelineHistory } from '@keyframe/postgres';
import type { WalInventory } from '@keyframe/repository';

/** A segment file that recovery will read. */
export interface PathSegment {
  readonly name: string;
  readonly start: Lsn;
  readonly timeline: TimelineId;
  /** Of one that is there in parts alone: how much of it recovery is given, with zeros behind. */
  readonly endBytes?: number | undefined;
}

/** What is known of an archive. Without `streamed` only whole segments count. */
export type PathInventory = Pick<WalInventory, 'has' | 'ranges'> &
  Partial<Pick<WalInventory, 'streamed' | 'streamedBytes'>>;

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
  inventory: PathInventory,
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
    const segment: PathSegment = {
      name: segmentName(timeline, number, segmentSizeBytes),
      start: (number * size) as Lsn,
      timeline,
    };
    const streamed = inventory.has(segment.name) ? segment : streamedOf(history, inventory, number, segmentSizeBytes);
    // Behind a segment that is not all there nothing can be read.
    if (streamed === undefined || (number < newest && (streamed.endBytes ?? segmentSizeBytes) < segmentSizeBytes)) {
      gap = segment;
      break;
    }
    segments.push(streamed);
    // Of a fork's segment that is there as the parent's alone there is no child's copy to take its place.
    for (const each of streamed.timeline === timeline ? older : [])
      forks.push({ name: segmentName(each, number, segmentSizeBytes), copyOf: streamed.name });
  }
  const histories = pathOf(history)
    .filter(({ timeline }) => timeline > 1)
    .map(({ timeline }) => historyName(timeline));
  return { segments, gap, histories, forks };
}

/** A segment of which there are parts: the child's copy, or where that has less the parent's up to the fork. */
function streamedOf(
  history: TimelineHistory,
  inventory: PathInventory,
  number: bigint,
  segmentSizeBytes: number,
): PathSegment | undefined {
  const start = (number * BigInt(segmentSizeBytes)) as Lsn;
  const ends = new Map(pathOf(history).map(({ timeline, end }) => [timeline, end]));
  let best: PathSegment | undefined;
  for (const timeline of segmentTimelines(history, number, segmentSizeBytes)) {
    const fork = ends.get(timeline);
    const limit = fork === undefined ? segmentSizeBytes : Math.min(segmentSizeBytes, Number(fork - start));
    const endBytes = Math.min(limit, inventory.streamedBytes?.(timeline, number) ?? 0);
    if (endBytes > (best?.endBytes ?? 0))
      best = { name: segmentName(timeline, number, segmentSizeBytes), start, timeline, endBytes };
  }
  return best;
}

/** Running number of the newest archived segment of this history; what a parent wrote past its fork is a dead branch. */
function newestNumber(history: TimelineHistory, inventory: PathInventory, size: bigint): bigint {
  let newest = -1n;
  for (const { timeline, end } of pathOf(history)) {
    const whole = inventory.ranges(timeline).at(-1)?.last ?? -1n;
    const streamed = inventory.streamed?.findLast((each) => each.timeline === timeline)?.number ?? -1n;
    const last = whole > streamed ? whole : streamed;
    const counted = end === undefined || last < end / size ? last : end / size;
    if (counted > newest) newest = counted;
  }
  return newest;
}
