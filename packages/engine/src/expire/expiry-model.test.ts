import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { historiesOf, playHistory } from './expiry-histories.fixture.ts';

// The torture run plays ten thousand.
const HISTORIES = 60;

it(`keeps every moment that the policy keeps, in ${HISTORIES} random histories`, async () => {
  const seen = { expired: 0, removed: 0, segments: 0, forks: 0 };
  await fc.assert(
    fc.asyncProperty(historiesOf(), async (history) => {
      const played = await playHistory(history);
      for (const name of Object.keys(seen) as (keyof typeof seen)[]) seen[name] += played[name];
    }),
    { numRuns: HISTORIES, endOnFailure: false },
  );
  // A history in which nothing happens proves nothing.
  for (const [name, count] of Object.entries(seen)) expect([name, count > 0]).toEqual([name, true]);
});
