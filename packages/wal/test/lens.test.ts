import path from 'node:path';
import { formatLsn, lsn, parseLsn } from '@keyframe/contracts';
import { Cluster, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, it } from 'vitest';
import { createWalLens, type PostgresMajor } from '../src/index.ts';
import { type CountedWork, doCountedWork } from './counted-work.ts';
import { type Segment, segmentsOf } from './waldump.ts';
import { linesOfLens, linesOfWaldump } from './waldump-records.ts';
import { INDEX_KINDS, WORKLOAD_SETTINGS } from './workload.ts';

const SEGMENT_BYTES = 1 << 20;

/** What compresses full-page images in each major, as far as the binaries can. */
const COMPRESSION: Readonly<Record<PostgresMajor, string>> = { 14: 'on', 15: 'lz4', 16: 'zstd', 17: 'pglz', 18: 'lz4' };

/** By file: by xid what a transaction that committed did to its rows. */
type RowsByFile = Map<number, Map<number, string>>;

function rowsIn(segments: readonly Segment[], end: bigint): RowsByFile {
  const lens = createWalLens({ segmentSizeBytes: SEGMENT_BYTES, fold: false });
  const rows: RowsByFile = new Map();
  for (const { start, bytes } of segments) {
    if (start > end) break;
    const index = lens.read(bytes, { timeline: 1, start: lsn(start), more: false });
    if (index?.fault !== undefined && index.fault.at < end) throw new Error(index.fault.message);
    for (const { xid, outcome, tables } of index?.transactions ?? []) {
      if (outcome === 'abort') continue;
      for (const { relation, inserted, updated, deleted } of tables) {
        const known = rows.get(relation.relfilenode) ?? new Map<number, string>();
        rows.set(relation.relfilenode, known.set(xid, `${inserted} ${updated} ${deleted}`));
      }
    }
  }
  return rows;
}

function expectCounted(found: RowsByFile, { rows, racedRows, table, raced }: CountedWork): void {
  expect(new Map([...(found.get(table) ?? [])].filter(([xid]) => rows.has(xid)))).toEqual(rows);
  const all = [...(found.get(raced)?.values() ?? [])].filter((line) => line !== '0 0 0');
  expect(all).toEqual(Array.from({ length: racedRows }, () => '1 0 0'));
}

describe('the lens', () => {
  // One server, first at the one level and then at the other: what is started once is told apart by LSN.
  it.each(postgresMajors())('reads and counts at both WAL levels as PostgreSQL %i does', async (major) => {
    const settings = { ...WORKLOAD_SETTINGS, wal_level: 'replica', wal_compression: COMPRESSION[major] };
    await using cluster = await Cluster.create(major, { walSegmentSizeMiB: 1, template: true, settings });
    await cluster.start();
    const start = parseLsn(await cluster.sql('select pg_current_wal_insert_lsn()'));
    const physical = await doCountedWork(cluster);
    await cluster.sql(INDEX_KINDS);
    await cluster.sql('alter system set wal_level = logical');
    await cluster.restart();
    const logical = await doCountedWork(cluster);
    await cluster.sql(`drop table parted; drop sequence counter; ${INDEX_KINDS}`);
    const end = parseLsn(await cluster.sql('select pg_current_wal_insert_lsn()'));
    await cluster.stop();
    const directory = path.join(cluster.data, 'pg_wal');
    const segments = await segmentsOf(directory, SEGMENT_BYTES);
    const args = ['-p', directory, '-s', formatLsn(start), '-e', formatLsn(end)];
    const theirs = linesOfWaldump((await cluster.tryExec('pg_waldump', args)).stdout);
    const mine = linesOfLens(segments, { major, segmentSizeBytes: SEGMENT_BYTES, start, end });
    expect(theirs.length).toBeGreaterThan(10_000);
    expect(mine).toEqual(theirs);
    const managers = new Set(mine.map((line) => line.split(' ')[1]));
    for (const name of ['BRIN', 'Btree', 'Gin', 'Gist', 'Hash', 'Heap', 'Heap2', 'SPGist', 'Sequence'])
      expect(managers).toContain(name);
    const found = rowsIn(segments, end);
    for (const counted of [physical, logical]) expectCounted(found, counted);
  });
});
