import { announcedSeed } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import { playHistories } from '../../packages/engine/src/expire/expiry-histories.fixture.ts';
import { EXTENT } from './extent.ts';

test(`${EXTENT.histories} histories of backups, forks, holds and expiries keep every moment that the policy keeps`, async () => {
  const played = await playHistories(EXTENT.histories, announcedSeed('histories of expiries'));
  process.stderr.write(`expiries: ${JSON.stringify(played)}\n`);
  expect(Object.entries(played).filter(([, count]) => count === 0)).toEqual([]);
});
