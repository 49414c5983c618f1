/** Which segments the index has, and which are still to be read. @packageDocumentation */
import type { Lsn, TimelineId } from '@keyframe/contracts';
import type { SegmentRange, WalIndexRef } from '@keyframe/repository';

/** Segments in one object of the index once there are so many. */
const GROUP_SEGMENTS = 64n;

/** Objects that together have all that is indexed of a timeline, each segment once where that can be. Ascending. */
export function coveringRefs(refs: readonly WalIndexRef[], timeline: TimelineId): WalIndexRef[] {
  const chosen: WalIndexRef[] = [];
  const own = refs.filter((ref) => ref.timeline === timeline);
  for (const ref of own.toSorted((a, b) => Number(a.startLsn - b.startLsn) || Number(b.endLsn - a.endLsn)))
    if (ref.endLsn > (chosen.at(-1)?.endLsn ?? 0n)) chosen.push(ref);
  return chosen;
}

/** Objects that nobody needs beside larger ones. */
export function supersededRefs(refs: readonly WalIndexRef[]): WalIndexRef[] {
  const isWithin = (ref: WalIndexRef, other: WalIndexRef): boolean =>
    ref !== other && ref.timeline === other.timeline && other.startLsn <= ref.startLsn && ref.endLsn <= other.endLsn;
  return refs.filter((ref) => refs.some((other) => isWithin(ref, other)));
}

/** What of the ranges lies between. */
export function within(
  ranges: readonly SegmentRange[],
  { from, to }: { readonly from?: Lsn | undefined; readonly to?: Lsn | undefined },
  segmentSizeBytes: number,
): SegmentRange[] {
  const size = BigInt(segmentSizeBytes);
  const lowest = from === undefined ? 0n : from / size;
  const highest = to === undefined ? undefined : (to + size - 1n) / size - 1n;
  return ranges.flatMap(({ first, last }) => {
    const range = {
      first: first > lowest ? first : lowest,
      last: highest === undefined || last < highest ? last : highest,
    };
    return range.first <= range.last ? [range] : [];
  });
}

/** Archived segments of a timeline that no object has: runs that end where a group does. */
export function missingRuns(
  ranges: readonly SegmentRange[],
  refs: readonly WalIndexRef[],
  segmentSizeBytes: number,
): SegmentRange[] {
  const size = BigInt(segmentSizeBytes);
  const runs: SegmentRange[] = [];
  for (const range of ranges) {
    let next = range.first;
    for (const { startLsn, endLsn } of refs) {
      const [first, end] = [startLsn / size, endLsn / size];
      if (end <= next || first > range.last) continue;
      if (first > next) runs.push(...inGroups(next, first - 1n));
      next = end;
    }
    if (next <= range.last) runs.push(...inGroups(next, range.last));
  }
  return runs;
}

function inGroups(first: bigint, last: bigint): SegmentRange[] {
  const runs: SegmentRange[] = [];
  for (let at = first; at <= last;) {
    const end = (at / GROUP_SEGMENTS) * GROUP_SEGMENTS + GROUP_SEGMENTS - 1n;
    runs.push({ first: at, last: end < last ? end : last });
    at = end + 1n;
  }
  return runs;
}

/** Together larger than this they stay as they are: one object must be read at once. */
const LARGEST_GROUP_BYTES = 24 << 20;

/** Objects that fill a group together and are several: one can take their place. */
export function mergeableGroups(refs: readonly WalIndexRef[], segmentSizeBytes: number): WalIndexRef[][] {
  const groupBytes = GROUP_SEGMENTS * BigInt(segmentSizeBytes);
  const groups = new Map<bigint, WalIndexRef[]>();
  for (const ref of refs) {
    const group = ref.startLsn / groupBytes;
    groups.set(group, [...(groups.get(group) ?? []), ref]);
  }
  return [...groups].flatMap(([group, members]) => (isWhole(members, group * groupBytes, groupBytes) ? [members] : []));
}

function isWhole(members: readonly WalIndexRef[], start: bigint, groupBytes: bigint): boolean {
  if (members.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0) > LARGEST_GROUP_BYTES) return false;
  let next: bigint | Lsn = start;
  for (const { startLsn, endLsn } of members) {
    if (startLsn !== next) return false;
    next = endLsn;
  }
  return members.length > 1 && next === start + groupBytes;
}
