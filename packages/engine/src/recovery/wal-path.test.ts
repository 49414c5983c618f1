import { type Lsn, parseLsn, parseWalFileName, segmentNumberOf } from '@keyframe/contracts';
import { parseTimelineHistory, type TimelineHistory } from '@keyframe/postgres';
import type { SegmentRange, WalInventory } from '@keyframe/repository';
import { describe, expect, it } from 'vitest';
import { walPathFrom } from './wal-path.ts';

const SIZE = 16 << 20;
const segment = (timeline: number, number: number): string =>
  `0000000${timeline}00000000000000${number.toString(16).toUpperCase().padStart(2, '0')}`;

/** An inventory of those names, with real ranges. */
function inventoryOf(...names: string[]): Pick<WalInventory, 'has' | 'ranges'> {
  const numbers = (timeline: number): bigint[] =>
    names.flatMap((name) => {
      const file = parseWalFileName(name);
      return file?.kind === 'segment' && file.timeline === timeline ? [segmentNumberOf(file, SIZE)] : [];
    });
  return {
    has: (name) => names.includes(name),
    ranges: (timeline) => numbers(timeline).map((number): SegmentRange => ({ first: number, last: number })),
  };
}

const single = { timeline: 1, ancestors: [] };
const forked = parseTimelineHistory('00000002.history', '1\t0/4800000\tno recovery target specified\n');
const names = (from: Lsn, history: TimelineHistory, ...held: string[]) => {
  const { segments, gap } = walPathFrom(history, inventoryOf(...held), from, SIZE);
  return { segments: segments.map(({ name }) => name), gap: gap?.name };
};

describe('walPathFrom', () => {
  it('lists what is there from the segment of the LSN on', () => {
    expect(names(parseLsn('0/2000028'), single, segment(1, 1), segment(1, 2), segment(1, 3))).toEqual({
      segments: [segment(1, 2), segment(1, 3)],
      gap: undefined,
    });
  });

  it('stops at a hole and names it', () => {
    expect(names(parseLsn('0/2000028'), single, segment(1, 2), segment(1, 4))).toEqual({
      segments: [segment(1, 2)],
      gap: segment(1, 3),
    });
  });

  it('takes the child’s copy of the segment with the fork', () => {
    const held = [segment(1, 3), segment(1, 4), segment(2, 4), segment(2, 5)];
    expect(names(parseLsn('0/3000028'), forked, ...held).segments).toEqual([
      segment(1, 3),
      segment(2, 4),
      segment(2, 5),
    ]);
  });

  it('names the copies of a segment that holds forks, one for every older timeline', () => {
    const twice = parseTimelineHistory('00000003.history', '1\t0/4800000\tx\n\n2\t0/4900000\tx\n');
    const held = [segment(1, 3), segment(3, 4), segment(3, 5)];
    expect(walPathFrom(twice, inventoryOf(...held), parseLsn('0/3000028'), SIZE).forks).toEqual([
      { name: segment(2, 4), copyOf: segment(3, 4) },
      { name: segment(1, 4), copyOf: segment(3, 4) },
    ]);
  });

  it('never goes on into the parent’s dead branch', () => {
    const held = [segment(1, 3), segment(1, 4), segment(1, 5), segment(1, 6)];
    expect(names(parseLsn('0/3000028'), forked, ...held)).toEqual({ segments: [segment(1, 3)], gap: segment(2, 4) });
  });

  it('asks for the history files of the path', () => {
    expect(walPathFrom(forked, inventoryOf(), parseLsn('0/3000028'), SIZE).histories).toEqual(['00000002.history']);
  });
});
