import path from 'node:path';
import { formatLsn, lsn, parseLsn } from '@keyframe/contracts';
import { Cluster, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, it } from 'vitest';
import { type BlockId, createWalScanner } from '../src/index.ts';
import { type Segment, segmentsOf } from './waldump.ts';
import { runWorkload, WORKLOAD_SETTINGS } from './workload.ts';

const SIZE = 16 << 20;

/** Every page that a full-page image brings back, by what pg_waldump says: `lsn tablespace/database/relfilenode block`. */
function imagesOf(output: string): string[] {
  const images: string[] = [];
  let at = '';
  for (const line of output.split('\n')) {
    at = /lsn: (\S+),/.exec(line)?.[1] ?? at;
    const blocks = line.matchAll(/blkref #\d+: rel (\d+\/\d+\/\d+) (?:fork main )?blk (\d+) (?:\(FPW\)|FPW)(?! ?for)/g);
    for (const [, relation, block] of blocks) images.push(`${formatLsn(parseLsn(at))} ${relation} ${block}`);
  }
  return images;
}

/** Every page that is marked as visible to all, by what pg_waldump says. */
function visibleOf(output: string): string[] {
  const pages: string[] = [];
  let at: string | undefined;
  for (const line of output.split('\n')) {
    const record = /lsn: (\S+),/.exec(line)?.[1];
    if (record !== undefined) at = / desc: VISIBLE /.test(line) ? record : undefined;
    // The first page that it names is of the visibility map.
    const [, relation, block] = /blkref #1: rel (\d+\/\d+\/\d+) (?:fork main )?blk (\d+)/.exec(line) ?? [];
    if (at !== undefined && relation !== undefined) pages.push(`${formatLsn(parseLsn(at))} ${relation} ${block}`);
  }
  return pages;
}

function visibleIn(segments: readonly Segment[], end: bigint): string[] {
  const scanner = createWalScanner({ segmentSizeBytes: SIZE, watch: { visible: true } });
  const pages: string[] = [];
  for (const { start, bytes } of segments)
    for (const fact of scanner.scan(bytes, start))
      if (fact.kind === 'page-visible' && fact.lsn < end)
        pages.push(`${formatLsn(fact.lsn)} ${fact.tablespace}/${fact.database}/${fact.relfilenode} ${fact.block}`);
  return pages;
}

describe.each(postgresMajors([14, 18]))('the WAL of PostgreSQL %i', (major) => {
  it.each([{ wal_compression: 'off' }, { wal_compression: 'on' }])(
    'tells of each page that is brought back whole or marked as visible to all, with %o',
    async (compression) => {
      await using cluster = await Cluster.create(major, {
        template: true,
        settings: { ...WORKLOAD_SETTINGS, ...compression },
      });
      await cluster.start();
      await runWorkload(cluster, 200);
      const end = parseLsn(await cluster.sql('select pg_current_wal_insert_lsn()'));
      await cluster.stop();
      const directory = path.join(cluster.data, 'pg_wal');
      const segments = await segmentsOf(directory, SIZE);
      const bounds = ['-s', formatLsn(segments[0]?.start ?? lsn(0n)), '-e', formatLsn(end)];
      const { stdout } = await cluster.tryExec('pg_waldump', ['-p', directory, ...bounds, '-b']);
      const theirs = imagesOf(stdout);
      expect(theirs.length).toBeGreaterThan(500);
      const blocks = [...new Set(theirs.map((line) => line.slice(line.indexOf(' ') + 1)))].map((line): BlockId => {
        const [relation = '', block] = line.split(' ');
        const [tablespace = 0, database = 0, relfilenode = 0] = relation.split('/').map(Number);
        return { tablespace, database, relfilenode, block: Number(block) };
      });
      const scanner = createWalScanner({ segmentSizeBytes: SIZE, watch: { blocks } });
      const mine = new Set<string>();
      for (const { start, bytes } of segments)
        for (const fact of scanner.scan(bytes, start))
          if (fact.kind === 'block-restored' && fact.lsn < end)
            mine.add(`${formatLsn(fact.lsn)} ${fact.tablespace}/${fact.database}/${fact.relfilenode} ${fact.block}`);
      expect(theirs.filter((line) => !mine.has(line))).toEqual([]);
      // Beyond images there are pages that replay makes from nothing, and many records that only change a page.
      expect(mine.size).toBeLessThan((stdout.match(/blkref #/g)?.length ?? 0) / 2);
      const visible = visibleOf(stdout);
      expect(visible.length).toBeGreaterThan(20);
      expect(visibleIn(segments, end)).toEqual(visible);
    },
  );
});
