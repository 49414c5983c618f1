import { expect, it } from 'vitest';
import { playHistories } from './expiry-histories.fixture.ts';

// The torture run plays ten thousand.
const HISTORIES = 100;

it(`keeps every moment that the policy keeps, in ${HISTORIES} random histories`, { timeout: 120_000 }, async () => {
  const { expired, removed, segments, forks } = await playHistories(HISTORIES);
  // A history in which nothing happens proves nothing.
  expect([expired, removed, segments, forks].every((count) => count > 0)).toBe(true);
});
