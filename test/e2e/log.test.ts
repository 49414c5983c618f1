import { announcedSeed, needs, postgresMajors, Random } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { checkHistory } from './support/check-history.ts';
import { Site } from './support/site.ts';

describe.each(postgresMajors([18]))('PostgreSQL %i', (major) => {
  test('log counts the rows of every transaction, and a target gives back what plan said', async (context) => {
    await needs(context, `postgres-${major}`);
    const random = new Random(announcedSeed(`log ${major}`));
    await using site = await Site.create(major, { settings: { wal_level: random.pick(['replica', 'logical']) } });
    const size = { sessions: 3, transactions: 30, restores: 1 };
    expect(await checkHistory(site, random, size)).toMatchObject({ wrong: [], transactions: 90 });
  });
});
