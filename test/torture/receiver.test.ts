import { announcedSeed } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import { EXTENT } from './extent.ts';
import { receiverOrdeal } from './receiver.ts';

test.each([
  ['no acknowledged commit', true],
  ['no more than the interval', false],
] as const)('%s is lost with receiver, server, store, network and host', async (what, synchronous) => {
  const major = EXTENT.majors.at(-1) ?? 18;
  const seed = announcedSeed(`a receiver: ${what}`);
  const report = await receiverOrdeal(major, { rounds: EXTENT.rounds, seed, synchronous });
  process.stderr.write(`receiver, ${synchronous ? 'synchronous' : 'asynchronous'}: ${JSON.stringify(report)}\n`);
  expect(report.failures).toEqual([]);
  expect(report.rounds).toBe(EXTENT.rounds);
  expect(report.acknowledged).toBeGreaterThan(report.rounds);
});
