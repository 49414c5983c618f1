import { announcedSeed, needs, postgresMajors, Random } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { checkHistory } from '../e2e/support/check-history.ts';
import { Site } from '../e2e/support/site.ts';
import { EXTENT } from './extent.ts';

const isFull = EXTENT.transactions >= 1000;
const sessions = isFull ? 4 : 2;
const SIZE = { sessions, transactions: EXTENT.transactions / sessions, restores: isFull ? 4 : 1 };

describe.each(isFull ? EXTENT.majors : postgresMajors([14]))('PostgreSQL %i', (major) => {
  test(`log counts the rows of ${SIZE.sessions * SIZE.transactions} random transactions as PostgreSQL did`, async (context) => {
    await needs(context, `postgres-${major}`);
    const random = new Random(announcedSeed(`history ${major}`));
    const settings = { wal_level: random.pick(['replica', 'logical']), checkpoint_timeout: '30s' };
    await using site = await Site.create(major, { settings });
    expect(await checkHistory(site, random, SIZE)).toMatchObject({
      wrong: [],
      transactions: SIZE.sessions * SIZE.transactions,
    });
  });
});
