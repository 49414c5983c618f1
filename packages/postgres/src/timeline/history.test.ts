import { lsn } from '@keyframe/contracts';
import { describe, expect, it } from 'vitest';
import {
  childHistory,
  formatTimelineHistory,
  historyContains,
  historyReaches,
  parseTimelineHistory,
  pathOf,
  segmentTimelines,
  timelineAt,
} from './history.ts';

const SEGMENT = 16 << 20;
const TEXT = '1\t0/5000A28\tno recovery target specified\n\n3\t0/8000000\tbefore 2026-11-03 14:05:59+00\n';
const history = parseTimelineHistory('00000004.history', TEXT);

describe('parseTimelineHistory', () => {
  it('reads the switch points, oldest first', () => {
    expect(history).toEqual({
      timeline: 4,
      ancestors: [
        { timeline: 1, end: 0x500_0a28n, reason: 'no recovery target specified' },
        { timeline: 3, end: 0x800_0000n, reason: 'before 2026-11-03 14:05:59+00' },
      ],
    });
  });

  it('writes back what PostgreSQL wrote', () => {
    expect(formatTimelineHistory(history)).toBe(TEXT);
    expect(formatTimelineHistory(parseTimelineHistory('00000001.history', ''))).toBe('');
  });

  it('skips comments and blank lines, and reads hexadecimal file names', () => {
    const text = '# made by hand\r\n\n  1 16/B374D848\r\n\t# more\n';
    expect(parseTimelineHistory('0000001A.history', text)).toEqual({
      timeline: 26,
      ancestors: [{ timeline: 1, end: 0x16_b374_d848n, reason: '' }],
    });
  });

  it.each([
    ['no switch point', '1\n'],
    ['words', 'one\t0/0\tx\n'],
    ['falling ids', '2\t0/1000\ta\n1\t0/2000\tb\n'],
    ['falling switch points', '1\t0/2000\ta\n2\t0/1000\tb\n'],
    ['its own id', '4\t0/1000\ta\n'],
  ])('refuses %s', (_, text) => {
    expect(() => parseTimelineHistory('00000004.history', text)).toThrow(expect.objectContaining({ code: 'CORRUPT' }));
  });

  it('refuses a name that is no history', () => {
    expect(() => parseTimelineHistory('000000010000000000000001', '')).toThrow(
      expect.objectContaining({ code: 'INVALID_OPTION' }),
    );
  });
});

describe('a path with two forks', () => {
  it('has three stretches', () => {
    expect(pathOf(history)).toEqual([
      { timeline: 1, begin: 0n, end: 0x500_0a28n },
      { timeline: 3, begin: 0x500_0a28n, end: 0x800_0000n },
      { timeline: 4, begin: 0x800_0000n, end: undefined },
    ]);
  });

  it('gives the byte at a fork to the child', () => {
    expect(timelineAt(history, lsn(0x500_0a27n))).toBe(1);
    expect(timelineAt(history, lsn(0x500_0a28n))).toBe(3);
    expect(timelineAt(history, lsn(0xffff_ffffn))).toBe(4);
  });

  it('contains a start only before the fork that leaves its timeline', () => {
    expect(historyContains(history, 1, lsn(0x500_0a27n))).toBe(true);
    expect(historyContains(history, 1, lsn(0x500_0a28n))).toBe(false);
    expect(historyContains(history, 2, lsn(0x600_0000n))).toBe(false);
    expect(historyContains(history, 4, lsn(0x900_0000n))).toBe(true);
  });

  it('reaches an end up to and including the fork', () => {
    expect(historyReaches(history, 1, lsn(0x500_0a28n))).toBe(true);
    expect(historyReaches(history, 1, lsn(0x500_0a29n))).toBe(false);
    expect(historyReaches(history, 3, lsn(0x800_0000n))).toBe(true);
    expect(historyReaches(history, 3, lsn(0n))).toBe(false);
  });

  it('takes the child copy of a segment with a fork first, and no parent copy at a segment boundary', () => {
    expect(segmentTimelines(history, 4n, SEGMENT)).toEqual([1]);
    expect(segmentTimelines(history, 5n, SEGMENT)).toEqual([3, 1]);
    expect(segmentTimelines(history, 7n, SEGMENT)).toEqual([3]);
    expect(segmentTimelines(history, 8n, SEGMENT)).toEqual([4]);
    expect(segmentTimelines(history, 900n, SEGMENT)).toEqual([4]);
  });

  it('grows by a child', () => {
    const child = childHistory(history, { timeline: 5, end: lsn(0x900_0100n), reason: 'adopted' });
    expect(formatTimelineHistory(child)).toBe(`${TEXT}\n4\t0/9000100\tadopted\n`);
    expect(parseTimelineHistory('00000005.history', formatTimelineHistory(child))).toEqual(child);
  });
});
