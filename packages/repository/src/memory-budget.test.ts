import { expect, it } from 'vitest';
import { tuningWithin } from './memory-budget.ts';
import { DEFAULT_TUNING } from './tuning.ts';

const MIB = 1 << 20;

it('a budget makes packs smaller or larger, within what they may be', () => {
  const packs = (memoryMiB: number): number => tuningWithin(DEFAULT_TUNING, memoryMiB * MIB).packBytes / MIB;
  expect([8, 32, 160, 320, 4096].map(packs)).toEqual(
    [1.6, 6.4, 32, 64, 64].map((each) => Math.floor(each * MIB) / MIB),
  );
  expect(tuningWithin(DEFAULT_TUNING, MIB)).toMatchObject({ packBytes: MIB, bundlePackBytes: MIB, framesInFlight: 2 });
  expect(tuningWithin(DEFAULT_TUNING, undefined)).toBe(DEFAULT_TUNING);
  expect(tuningWithin(DEFAULT_TUNING, 160 * MIB)).toEqual(DEFAULT_TUNING);
});
