import { type Lsn, lsn, segmentName } from '@keyframe/contracts';
import type { TimelineHistory } from '@keyframe/postgres';
import { parseWalInventory } from '@keyframe/repository';
import { crc32 } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { beyondForks, findStart, gapsBetween, newestKnown } from './find-start.ts';

const SIZE = 1 << 20;
const at = (number: number, bytes = 0): Lsn => lsn(BigInt(number * SIZE + bytes));
const name = (timeline: number, number: number): string => segmentName(timeline, BigInt(number), SIZE);
const single: TimelineHistory = { timeline: 1, ancestors: [] };
const forked: TimelineHistory = { timeline: 2, ancestors: [{ timeline: 1, end: at(5, 3000), reason: 'promoted' }] };

function start(history: TimelineHistory, position: Lsn, held: Readonly<Record<string, number>>) {
  const wal = {
    has: async (each: string) => held[each] === SIZE + 1,
    streamedBytes: async (each: string) => Math.min(SIZE, held[each] ?? 0),
  };
  return findStart({ wal, history, segmentSizeBytes: SIZE }, position, {});
}

/** As in {@link start}: the whole segment is there, not only parts. */
const WHOLE = SIZE + 1;

describe('findStart', () => {
  it('begins with the segment of the position when nothing is there', async () => {
    expect(await start(single, at(3, 77), {})).toEqual({ timeline: 1, start: at(3), durable: at(3) });
  });

  it('passes over whole segments, and counts the parts of the first that is not', async () => {
    const held = { [name(1, 3)]: WHOLE, [name(1, 4)]: WHOLE, [name(1, 5)]: 900 };
    expect(await start(single, at(3, 77), held)).toEqual({ timeline: 1, start: at(5), durable: at(5, 900) });
  });

  it('streams a segment again that is there in parts alone, and acknowledges what lies behind it', async () => {
    const held = { [name(1, 3)]: SIZE, [name(1, 4)]: 500 };
    expect(await start(single, at(3), held)).toEqual({ timeline: 1, start: at(3), durable: at(4, 500) });
  });

  it('takes the child’s copy of the segment with the fork', async () => {
    expect(await start(forked, at(4), {})).toEqual({ timeline: 1, start: at(4), durable: at(4) });
    const held = { [name(1, 4)]: WHOLE, [name(1, 5)]: 3000 };
    expect(await start(forked, at(4), held)).toEqual({ timeline: 2, start: at(5), durable: at(5) });
    const both = { ...held, [name(2, 5)]: 4000 };
    expect(await start(forked, at(4), both)).toEqual({ timeline: 2, start: at(5), durable: at(5, 4000) });
  });
});

describe('what the archive holds', () => {
  /** Timeline 1: segments 3 and 4, 4000 bytes of 5. Timeline 2: segment 7. */
  const body = 'v2.1048576.1:3-4,2:7.2..1:5+fa0';
  const inventory = parseWalInventory(`${body}.${crc32(body).toString(16).padStart(8, '0')}`);

  it('reaches as far as a history follows it', () => {
    expect(newestKnown(single, inventory)).toBe(at(5, 4000));
    expect(newestKnown(forked, inventory)).toBe(at(8));
    expect(newestKnown({ timeline: 3, ancestors: [] }, inventory)).toBeUndefined();
  });

  it('goes on beyond a fork where more was acknowledged than the next primary had', () => {
    expect(beyondForks(forked, inventory)).toEqual([{ timeline: 1, fork: at(5, 3000), reached: at(5, 4000) }]);
    expect(beyondForks(single, inventory)).toEqual([]);
  });

  it('has gaps', () => {
    expect(gapsBetween(forked, inventory, at(4, 10), at(9))).toEqual([
      { timeline: 2, from: at(5), to: at(7) },
      { timeline: 2, from: at(8), to: at(9) },
    ]);
  });
});
