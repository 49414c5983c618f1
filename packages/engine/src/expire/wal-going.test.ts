import { expect, test } from 'vitest';
import { epochOf } from './expiry-facts.fixture.ts';
import { companionsOf, type WalGoing } from './wal-going.ts';

const going = (first: number, last: number): WalGoing => ({
  epoch: 1,
  timeline: 1,
  first,
  last,
  segments: last - first + 1,
  sizeBytes: 5,
  segmentSizeBytes: 16 << 20,
});

test('parts go with their segment, and those of an open one only with all of its timeline', () => {
  const part = (number: number) => ({
    name: `00000001000000000000000${number}.parts/00000000-00000100`,
    timeline: 1,
    number,
    sizeBytes: 1,
  });
  const partial = { name: '000000010000000000000006.partial', timeline: 1, number: 6, sizeBytes: 1 };
  const epoch = epochOf([], 8, { companions: [part(3), part(6), part(9), partial] });
  const numbers = (...ranges: WalGoing[]): number[] => companionsOf(epoch, ranges).map(({ number }) => number);
  // The partial segment follows the last one that goes; parts of that segment may be all there is of it.
  expect(numbers(going(1, 5))).toEqual([3, 6]);
  expect(companionsOf(epoch, [going(1, 5)]).map(({ name }) => name)).toEqual([part(3).name, partial.name]);
  expect(numbers(going(1, 8))).toEqual([3, 6, 9, 6]);
});
