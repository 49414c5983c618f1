import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { difference, intersection, type NumberRange, rangeAt, rangesOf, union } from './segment-ranges.ts';

const RANGES: fc.Arbitrary<NumberRange[]> = fc.array(
  fc.tuple(fc.nat(40), fc.nat(8)).map(([first, more]) => ({ first, last: first + more })),
  { maxLength: 6 },
);
const members = (ranges: readonly NumberRange[]): Set<number> =>
  new Set(ranges.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, at) => first + at)));
const sorted = (numbers: Iterable<number>): number[] => [...numbers].toSorted((one, other) => one - other);

it('ranges behave as the sets of their numbers', () => {
  fc.assert(
    fc.property(RANGES, RANGES, fc.nat(50), (one, other, number) => {
      const [a, b] = [members(one), members(other)];
      expect(sorted(members(union(one)))).toEqual(sorted(a));
      expect(union(one)).toEqual(rangesOf(sorted(a)));
      expect(sorted(members(difference(one, other)))).toEqual(sorted(a.difference(b)));
      expect(sorted(members(intersection(one, other)))).toEqual(sorted(a.intersection(b)));
      expect(rangeAt(union(one), number) !== undefined).toBe(a.has(number));
    }),
  );
});

it('a range may have no end', () => {
  expect(difference([{ first: 1, last: 9 }], [{ first: 5, last: Infinity }])).toEqual([{ first: 1, last: 4 }]);
});
