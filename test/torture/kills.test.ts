import { announcedSeed, needs } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { EXTENT } from './extent.ts';
import { kills } from './kills.ts';

describe.each(EXTENT.majors)('PostgreSQL %i', (major) => {
  test('loses nothing acknowledged and lists nothing half when processes are killed at random moments', async (context) => {
    await needs(context, `postgres-${major}`);
    const seed = announcedSeed(`kills of PostgreSQL ${major}`);
    const report = await kills(major, { kills: EXTENT.kills, seed });
    process.stderr.write(`PostgreSQL ${major}: ${JSON.stringify(report)}\n`);
    expect(report.failures).toEqual([]);
    const counts = Object.values(report.killed);
    expect(counts.reduce((sum, each) => sum + each, 0)).toBeGreaterThanOrEqual(EXTENT.kills);
    expect(Math.min(...counts)).toBeGreaterThanOrEqual(1);
    expect(report.acknowledged.transactions).toBeGreaterThan(200);
  });
});
