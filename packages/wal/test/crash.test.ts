import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { lsn } from '@keyframe/contracts';
import { Cluster, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, it } from 'vitest';
import { readByScanner, readByWaldump, type Segment, segmentsOf } from './waldump.ts';

const SIZE = 1 << 20;
const FAR = lsn(2n ** 63n);

/** A cluster that crashed several times under load, with recycled segments behind its last record. */
async function crashed(cluster: Cluster): Promise<{ directory: string; segments: Segment[] }> {
  await cluster.start();
  await cluster.exec('pgbench', ['-i', '-s', '1', '-q', 'postgres']);
  for (let round = 0; round < 3; round++) {
    const load = cluster.tryExec('pgbench', ['-n', '-c', '4', '-T', '30', 'postgres']);
    await sleep(700);
    await cluster.kill9();
    await load;
    if (round < 2) await cluster.start();
  }
  const directory = path.join(cluster.data, 'pg_wal');
  return { directory, segments: await segmentsOf(directory, SIZE) };
}

/** The run of segments from the oldest that still is what its name says. */
function contiguous(segments: readonly Segment[]): Segment[] {
  return segments.filter(({ start, bytes }) => bytes.readBigUInt64LE(8) === start);
}

/** A small generator with a seed, so that a failure can be repeated. */
function random(seed: number): (limit: number) => number {
  let state = seed;
  return (limit) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

const readAll = (segments: readonly Segment[]) => readByScanner(segments, { segmentSizeBytes: SIZE, end: FAR });

describe.each(postgresMajors([18]))('the WAL of a crashed PostgreSQL %i', (major) => {
  it('is read as far as pg_waldump reads it, and damaged WAL never further than it is right', async () => {
    await using cluster = await Cluster.create(major, {
      walSegmentSizeMiB: 1,
      template: true,
      settings: { max_wal_size: '8MB', min_wal_size: '4MB', checkpoint_timeout: '30s', wal_keep_size: '4MB' },
    });
    const { directory, segments } = await crashed(cluster);
    const [first] = contiguous(segments);
    if (first === undefined) throw new Error('no WAL');
    const kept = segments.filter(({ start }) => start >= first.start);
    const mine = readAll(kept);
    const theirs = await readByWaldump(cluster, { directory, start: first.start, end: undefined });
    expect(mine.records.length).toBeGreaterThan(1000);
    expect(mine.records).toEqual(theirs.records);
    expect(mine.ended?.at).toBe(theirs.endedAt);

    const right = new Set(mine.records);
    const pick = random(major);
    for (let round = 0; round < 25; round++) {
      const damaged = kept.map(({ name, start, bytes }) => ({ name, start, bytes: Buffer.from(bytes) }));
      for (let flips = 1 + pick(3); flips > 0; flips--) {
        const bytes = damaged[pick(damaged.length)]?.bytes;
        const at = pick(SIZE);
        if (bytes !== undefined) bytes[at] = (bytes[at] ?? 0) ^ (1 << pick(8));
      }
      const { records, ended } = readAll(damaged);
      expect(ended).toBeDefined();
      expect(records.filter((record) => !right.has(record))).toEqual([]);
      expect(records.length).toBeLessThanOrEqual(mine.records.length);
    }
  });
});
