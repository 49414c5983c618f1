import { expect, it } from 'vitest';
import { summaryFaultMendedIn } from './summary-fault.ts';

it('knows the minors in which an increment across a promotion can leave out blocks', () => {
  const versions = [160_013, 170_000, 170_011, 170_012, 180_006, 180_007, 190_000];
  const mended = [undefined, 170_012, 170_012, undefined, 180_007, undefined, undefined];
  expect(versions.map(summaryFaultMendedIn)).toEqual(mended);
});
