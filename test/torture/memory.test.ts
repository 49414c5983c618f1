import { needs } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import { EXTENT } from './extent.ts';
import { memoryOf } from './memory.ts';

const LIMIT_MIB = 300;
const { sizeMiB } = EXTENT;

test(`backup and restore of ${sizeMiB} MiB stay within ${LIMIT_MIB} MiB of memory, a relation of several files included`, async (context) => {
  await needs(context, 'postgres-18');
  const { before, after, ...report } = await memoryOf(18, sizeMiB);
  process.stderr.write(`memory with ${sizeMiB} MiB: ${JSON.stringify(report)}\n`);
  expect(after).toBe(before);
  expect(report.relationMiB).toBeGreaterThan(1024);
  for (const peak of [report.backupMiB, report.restoreMiB]) {
    // Less than Node.js alone takes would mean that nothing was measured.
    expect(peak).toBeGreaterThan(30);
    expect(peak).toBeLessThan(LIMIT_MIB);
  }
});
