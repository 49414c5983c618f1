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

  describe('with parts', () => {
    const streamedIn = (parts: readonly (readonly [timeline: number, number: number, endBytes: number])[]) => {
      const streamed = parts.map(([timeline, number, endBytes]) => ({ timeline, number: BigInt(number), endBytes }));
      return {
        streamed,
        streamedBytes: (timeline: number, number: bigint) =>
          streamed.find((each) => each.timeline === timeline && each.number === number)?.endBytes ?? 0,
      };
    };
    const ends = (history: TimelineHistory, held: readonly string[], ...parts: Parameters<typeof streamedIn>[0]) => {
      const inventory = { ...inventoryOf(...held), ...streamedIn(parts) };
      const { segments, gap } = walPathFrom(history, inventory, parseLsn('0/3000028'), SIZE);
      return { segments: segments.map(({ name, endBytes }) => [name, endBytes]), gap: gap?.name };
    };

    it('ends with what was streamed of the open segment', () => {
      expect(ends(single, [segment(1, 3)], [1, 4, 500])).toEqual({
        segments: [
          [segment(1, 3), undefined],
          [segment(1, 4), 500],
        ],
        gap: undefined,
      });
    });

    it('goes on behind parts only where they are the whole segment', () => {
      expect(ends(single, [segment(1, 3), segment(1, 5)], [1, 4, SIZE]).segments).toHaveLength(3);
      expect(ends(single, [segment(1, 3), segment(1, 5)], [1, 4, SIZE - 1]).gap).toBe(segment(1, 4));
    });

    it('takes the child’s parts of the segment with the fork, or the parent’s up to it where they reach further', () => {
      const fork = 0x80_00_00;
      const held = [segment(1, 3)];
      expect(ends(forked, held, [1, 4, fork + 100], [2, 4, fork + 50]).segments.at(-1)).toEqual([
        segment(2, 4),
        fork + 50,
      ]);
      expect(ends(forked, held, [1, 4, fork + 100], [2, 4, 700]).segments.at(-1)).toEqual([segment(1, 4), fork]);
      expect(ends(forked, held, [1, 4, 900]).segments.at(-1)).toEqual([segment(1, 4), 900]);
      expect(ends(forked, held, [1, 5, 900]).segments.at(-1)).toEqual([segment(1, 3), undefined]);
    });
  });
});
