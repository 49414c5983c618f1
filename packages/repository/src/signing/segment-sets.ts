import { KeyframeError, parseWalFileName, segmentName, segmentNumberOf, type TimelineId } from '@keyframe/contracts';
import type { SegmentRange, WalInventory } from '../wal/wal-inventory.ts';
import type { NamedSegments } from './signing.ts';

/** Running numbers of segments, by timeline, as ascending ranges that do not touch. */
export class SegmentSet {
  readonly segmentSizeBytes: number;
  readonly #ranges = new Map<TimelineId, SegmentRange[]>();

  constructor(segmentSizeBytes: number) {
    this.segmentSizeBytes = segmentSizeBytes;
  }

  /** @throws {KeyframeError} CORRUPT for names that are none of segments */
  static of(named: readonly NamedSegments[], segmentSizeBytes: number): SegmentSet {
    const set = new SegmentSet(segmentSizeBytes);
    for (const { first, last } of named) {
      const [from, to] = [placeOf(first, segmentSizeBytes), placeOf(last, segmentSizeBytes)];
      set.add(from.timeline, { first: from.number, last: to.number });
    }
    return set;
  }

  add(timeline: TimelineId, range: SegmentRange): void {
    const all = [...(this.#ranges.get(timeline) ?? []), range].toSorted((a, b) => (a.first < b.first ? -1 : 1));
    const merged: { first: bigint; last: bigint }[] = [];
    for (const { first, last } of all) {
      const before = merged.at(-1);
      if (before === undefined || first > before.last + 1n) merged.push({ first, last });
      else if (last > before.last) before.last = last;
    }
    this.#ranges.set(timeline, merged);
  }

  has(timeline: TimelineId, number: bigint): boolean {
    return (this.#ranges.get(timeline) ?? []).some(({ first, last }) => first <= number && number <= last);
  }

  named(): NamedSegments[] {
    const name = (timeline: TimelineId, number: bigint): string => segmentName(timeline, number, this.segmentSizeBytes);
    return [...this.#ranges].flatMap(([timeline, ranges]) =>
      ranges.map(({ first, last }) => ({ first: name(timeline, first), last: name(timeline, last) })),
    );
  }
}

/** Where a segment of that name stands. @throws {KeyframeError} CORRUPT */
export function placeOf(
  name: string,
  segmentSizeBytes: number,
): { readonly timeline: TimelineId; readonly number: bigint } {
  const file = parseWalFileName(name);
  if (file?.kind !== 'segment')
    throw new KeyframeError('CORRUPT', `${JSON.stringify(name)} is no name of a WAL segment`, {
      hint: 'Run `keyframe verify`: it names the entry of the chain that says so.',
    });
  return { timeline: file.timeline, number: segmentNumberOf(file, segmentSizeBytes) };
}

/** Segments of the archive that a set does not have, in runs of at most `limit`. */
export function runsBeside(
  inventory: Pick<WalInventory, 'timelines' | 'ranges'>,
  covered: SegmentSet,
  limit: number,
): (SegmentRange & { readonly timeline: TimelineId })[] {
  const runs: (SegmentRange & { readonly timeline: TimelineId })[] = [];
  for (const timeline of inventory.timelines)
    for (const range of inventory.ranges(timeline)) {
      let first: bigint | undefined;
      for (let number = range.first; number <= range.last + 1n; number += 1n) {
        const isNew = number <= range.last && !covered.has(timeline, number);
        const isFull = first !== undefined && number - first >= BigInt(limit);
        if (first !== undefined && (!isNew || isFull)) {
          runs.push({ timeline, first, last: number - 1n });
          first = undefined;
        }
        if (isNew) first ??= number;
      }
    }
  return runs;
}
