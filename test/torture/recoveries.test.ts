import { announcedSeed, needs } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { EXTENT } from './extent.ts';
import { recoveries } from './recoveries.ts';

const KINDS = ['time', 'before-time', 'xid', 'before-xid', 'lsn', 'before-lsn', 'name', 'immediate', 'latest'];

describe.each(EXTENT.majors)('PostgreSQL %i', (major) => {
  test('recovers to random targets of every kind with exactly the transactions of that moment', async (context) => {
    await needs(context, `postgres-${major}`);
    const seed = announcedSeed(`recoveries of PostgreSQL ${major}`);
    const report = await recoveries(major, { targets: EXTENT.targets, seed });
    process.stderr.write(`PostgreSQL ${major}: ${JSON.stringify(report)}\n`);
    expect(report.failures).toEqual([]);
    expect(Object.keys(report.kinds)).toEqual(expect.arrayContaining(KINDS));
    expect(Object.keys(report.kinds).some((kind) => kind.startsWith('old '))).toBe(true);
    expect(Object.keys(report.kinds).some((kind) => kind.startsWith('crossing '))).toBe(true);
    expect(report.recovered).toBeGreaterThanOrEqual(EXTENT.targets);
    expect(report.commits).toBeGreaterThan(500);
  });
});
