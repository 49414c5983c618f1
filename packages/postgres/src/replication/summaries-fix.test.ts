import { expect, it } from 'vitest';
import { hasSummaryFault } from './summaries-fix.ts';

it('knows the minors in which an increment across a promotion can leave out blocks', () => {
  const faulty = [160_013, 170_000, 170_011, 170_012, 180_006, 180_007, 190_000].filter(hasSummaryFault);
  expect(faulty).toEqual([170_000, 170_011, 180_006]);
});
