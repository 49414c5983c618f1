import path from 'node:path';
import { parseLsn } from '@keyframe/contracts';
import { Cluster, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, it } from 'vitest';
import { readSegmentHeader } from '../src/index.ts';
import { readByScanner, readByWaldump, segmentsOf } from './waldump.ts';
import { linesOfLens, linesOfWaldump } from './waldump-records.ts';
import { runWorkload, WORKLOAD_SETTINGS } from './workload.ts';

const cases = postgresMajors().flatMap((major) =>
  (major === 17 ? [1, 64] : [16]).map((segmentMiB) => ({ major, segmentMiB })),
);

describe('the scanner', () => {
  it.each(cases)(
    'agrees with pg_waldump on PostgreSQL $major with $segmentMiB MiB segments',
    async ({ major, segmentMiB }) => {
      await using cluster = await Cluster.create(major, {
        walSegmentSizeMiB: segmentMiB,
        template: true,
        settings: WORKLOAD_SETTINGS,
      });
      await cluster.start();
      await runWorkload(cluster, 800);
      await cluster.restart();
      await cluster.sql('checkpoint');
      const end = parseLsn(await cluster.sql('select pg_current_wal_insert_lsn()'));
      await cluster.stop();
      const directory = path.join(cluster.data, 'pg_wal');
      const segmentSizeBytes = segmentMiB << 20;
      const segments = await segmentsOf(directory, segmentSizeBytes);
      const [first] = segments;
      if (first === undefined) throw new Error('no WAL');
      expect(readSegmentHeader(first.bytes)).toMatchObject({
        postgresMajor: major,
        segmentSizeBytes,
        pageAddress: first.start,
      });

      const mine = readByScanner(segments, { segmentSizeBytes, end });
      const theirs = await readByWaldump(cluster, { directory, start: first.start, end });
      expect(mine.records.length).toBeGreaterThan(10_000);
      expect(mine.records).toEqual(theirs.records);
      expect(mine.facts).toEqual(theirs.facts);
      // The lens reads the same: databases made in both ways, two-phase commits, messages, rewritten catalogues.
      const range = { major, segmentSizeBytes, start: first.start, end };
      expect(linesOfLens(segments, range)).toEqual(linesOfWaldump(theirs.text));
      const kinds = new Set(mine.facts.map((line) => line.split(' ')[1]));
      expect(kinds).toEqual(
        new Set(
          (
            'commit abort checkpoint restore-point switch parameter-change ' +
            'relation-create relation-truncate relation-map database-create database-drop'
          ).split(' '),
        ),
      );
    },
  );
});
