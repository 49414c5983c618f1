import { lsn, segmentName } from '@keyframe/contracts';
import type { TimelineHistory } from '@keyframe/postgres';
import type { BackupRecord, SegmentRange } from '@keyframe/repository';
import { expect, test } from 'vitest';
import { coursesOf, gapsOf, hitsOf } from './courses.ts';
import { runsOf } from './walk-wal.ts';

const SIZE = 1 << 20;
const at = (segment: number, offset = 0): bigint => BigInt(segment * SIZE + offset);

const backup = (label: string, timeline: number, from: number, to: number): BackupRecord =>
  ({ label, timeline, startLsn: lsn(at(from, 40)), stopLsn: lsn(at(to, 300)) }) as BackupRecord;

/** Segments that are there, by timeline, as pairs of numbers. */
function inventoryOf(ranges: Readonly<Record<number, readonly (readonly [number, number])[]>>) {
  const of = (timeline: number): SegmentRange[] =>
    (ranges[timeline] ?? []).map(([first, last]) => ({ first: BigInt(first), last: BigInt(last) }));
  const names = new Set(
    Object.keys(ranges).flatMap((timeline) =>
      of(Number(timeline)).flatMap(({ first, last }) =>
        Array.from({ length: Number(last - first) + 1 }, (_, index) =>
          segmentName(Number(timeline), first + BigInt(index), SIZE),
        ),
      ),
    ),
  );
  return {
    segmentSizeBytes: SIZE,
    timelines: Object.keys(ranges).map(Number),
    ranges: of,
    has: (name: string) => names.has(name),
  };
}

const one: TimelineHistory = { timeline: 1, ancestors: [] };
const two: TimelineHistory = { timeline: 2, ancestors: [{ timeline: 1, end: lsn(at(10, 500)), reason: '' }] };
const both = new Map([
  [1, one],
  [2, two],
]);
const gaps = (courses: ReturnType<typeof coursesOf>, inventory: ReturnType<typeof inventoryOf>): string[] =>
  gapsOf(courses, inventory, SIZE).map(({ timeline, first, last }) => `${timeline}: ${first}-${last}`);

test('WAL without a gap on a timeline, its branch and the dead one has none', () => {
  const courses = coursesOf(both, [backup('a', 1, 2, 3), backup('b', 2, 12, 12)]);
  expect(gaps(courses, inventoryOf({ 1: [[1, 14]], 2: [[10, 20]] }))).toEqual([]);
});

test('every gap is found with its extent, on each timeline once', () => {
  const courses = coursesOf(both, [backup('a', 1, 2, 3)]);
  const inventory = inventoryOf({
    1: [
      [1, 4],
      [7, 11],
      [13, 14],
    ],
    2: [
      [10, 15],
      [17, 20],
    ],
  });
  expect(gaps(courses, inventory)).toEqual(['1: 5-6', '1: 12-12', '2: 16-16']);
});

test('what was written before the oldest backup may be missing', () => {
  const courses = coursesOf(new Map([[1, one]]), [backup('a', 1, 8, 9)]);
  expect(
    gaps(
      courses,
      inventoryOf({
        1: [
          [1, 2],
          [8, 12],
        ],
      }),
    ),
  ).toEqual([]);
});

test('the child’s copy of the segment with the fork is needed, the parent’s serves its own branch', () => {
  const courses = coursesOf(both, [backup('a', 1, 2, 3)]);
  expect(gaps(courses, inventoryOf({ 1: [[1, 10]], 2: [[11, 12]] }))).toEqual(['2: 10-10']);
  expect(gaps(courses, inventoryOf({ 1: [[1, 9]], 2: [[10, 12]] }))).toEqual([]);
});

test('a timeline that was begun just now needs nothing yet', () => {
  const courses = coursesOf(both, [backup('a', 1, 2, 3)]);
  expect(gaps(courses, inventoryOf({ 1: [[1, 12]] }))).toEqual([]);
});

test('a backup whose own end is not archived has a gap, though nothing follows it', () => {
  const courses = coursesOf(new Map([[1, one]]), [backup('a', 1, 2, 6)]);
  expect(gaps(courses, inventoryOf({ 1: [[1, 4]] }))).toEqual(['1: 5-6']);
  expect(gaps(courses, inventoryOf({ 2: [[1, 4]] }))).toEqual(['1: 2-6']);
});

test('a gap takes the backups along in which it lies, and the moments up to the next backup', () => {
  const courses = coursesOf(both, [backup('a', 1, 2, 3), backup('b', 1, 6, 7), backup('c', 2, 12, 12)]);
  const hits = (timeline: number, number: number) =>
    hitsOf(courses, { timeline, first: BigInt(number), last: BigInt(number) }, SIZE);
  expect(hits(1, 3)).toEqual({
    backups: ['a'],
    moments: [
      'timeline 1 from 0/300000 to 0/70012C, where backup b ends',
      'timeline 2 from 0/300000 to 0/70012C, where backup b ends',
    ],
  });
  expect(hits(1, 8)).toEqual({
    backups: [],
    moments: ['timeline 1 from 0/800000 on', 'timeline 2 from 0/800000 to 0/C0012C, where backup c ends'],
  });
  // Beyond the fork the parent's WAL is of its own branch alone.
  expect(hits(1, 10).moments).toEqual(['timeline 1 from 0/A00000 on']);
  expect(hits(1, 1)).toEqual({ backups: [], moments: [] });
});

test('a walk begins one segment before what is wanted, where that is there', () => {
  const inventory = inventoryOf({ 1: [[1, 9]], 2: [[10, 12]] });
  const wanted = new Set([
    segmentName(1, 1n, SIZE),
    segmentName(1, 5n, SIZE),
    segmentName(1, 6n, SIZE),
    segmentName(2, 12n, SIZE),
  ]);
  const runs = runsOf({ inventory: inventory as never }, (name) => wanted.has(name));
  expect(runs.map(({ timeline, first, last }) => `${timeline}: ${first}-${last}`)).toEqual([
    '1: 1-1',
    '1: 4-6',
    '2: 11-12',
  ]);
});
