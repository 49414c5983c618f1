import * as fc from 'fast-check';
import { expect, it } from 'vitest';
import { historiesOf, playHistory } from './expiry-histories.fixture.ts';

// The torture run plays ten thousand.
const HISTORIES = 200;

it(`keeps every moment that the policy keeps, in ${HISTORIES} random histories`, async () => {
  const seen = { expired: 0, removed: 0, segments: 0, undeleted: 0, refused: 0, forks: 0 };
  await fc.assert(
    fc.asyncProperty(historiesOf(), async (history) => {
      const played = await playHistory(history);
      for (const [name, count] of Object.entries(played)) seen[name as keyof typeof seen] += count;
    }),
    { numRuns: HISTORIES, endOnFailure: false },
  );
  // A history in which nothing happens proves nothing.
  for (const [name, count] of Object.entries(seen)) expect([name, count > 0]).toEqual([name, true]);
});
