import path from 'node:path';
import { formatLsn, type Lsn, lsn, parseLsn } from '@keyframe/contracts';
import { Cluster, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, it } from 'vitest';
import {
  createWalLens,
  type DecodedRecord,
  type PostgresMajor,
  recordName,
  resourceManagerName,
} from '../src/index.ts';
import { type Segment, segmentsOf } from './waldump.ts';
import { INDEX_KINDS, WORKLOAD_SETTINGS } from './workload.ts';

const SEGMENT_BYTES = 1 << 20;
const FORKS = ['', 'fsm', 'vm', 'init'];
const LINE = /^rmgr: (\S+)\s+len \(rec\/tot\):\s*\d+\/\s*\d+, tx:\s*(\d+), lsn: (\S+), prev \S+, desc: (\S+) ?(.*)$/;
const BLOCK = /blkref #(\d+): rel (\d+)\/(\d+)\/(\d+)(?: fork:? ?(\w+))? blk (\d+)( \(?FPW)?/g;

/** One line a record: where, what, whose, and the pages it names. */
function lineOf(record: DecodedRecord, major: PostgresMajor): string {
  const name = recordName(record.resourceManager, record.info, major) ?? '?';
  const blocks = record.blocks.map(({ tablespace, database, relfilenode, fork, block, image }) => {
    const isWhole = image === undefined || image.length === 8192;
    return ` ${tablespace}/${database}/${relfilenode}${FORKS[fork]} ${block}${image === undefined ? '' : isWhole ? ' FPW' : '?'}`;
  });
  const { lsn: at, resourceManager, xid } = record;
  return `${formatLsn(at)} ${resourceManagerName(resourceManager)} ${name} ${xid}${blocks.join('')}`;
}

async function linesOfWaldump(cluster: Cluster, directory: string, start: Lsn, end: Lsn): Promise<string[]> {
  const args = ['-p', directory, '-s', formatLsn(start), '-e', formatLsn(end)];
  const { stdout } = await cluster.tryExec('pg_waldump', args, { environment: { TZ: 'UTC' } });
  return stdout.split('\n').flatMap((line) => {
    const [, manager, xid, at, name, rest = ''] = LINE.exec(line) ?? [];
    if (manager === undefined || at === undefined) return [];
    const blocks = [...rest.matchAll(BLOCK)].map(([, , tablespace, database, node, fork = '', block, image]) => {
      const named = fork === 'main' ? '' : fork;
      return ` ${tablespace}/${database}/${node}${named} ${block}${image === undefined ? '' : ' FPW'}`;
    });
    return [`${formatLsn(parseLsn(at))} ${manager} ${name} ${xid}${blocks.join('')}`];
  });
}

function linesOfLens(segments: readonly Segment[], major: PostgresMajor, start: Lsn, end: Lsn): string[] {
  const lines: string[] = [];
  const onRecord = (record: DecodedRecord): void => {
    if (record.lsn >= start && record.lsn < end) lines.push(lineOf(record, major));
  };
  const lens = createWalLens({ segmentSizeBytes: SEGMENT_BYTES, onRecord });
  for (const { start: at, bytes } of segments) lens.read(bytes, { timeline: 1, start: at, more: false });
  return lines;
}

/** What compresses full-page images in each major, as far as the binaries can. */
const COMPRESSION: Readonly<Record<PostgresMajor, string>> = { 14: 'on', 15: 'lz4', 16: 'zstd', 17: 'pglz', 18: 'lz4' };

/** Both of them, in turn. */
const levelOf = (major: PostgresMajor): string => (major % 2 === 0 ? 'replica' : 'logical');

describe('the lens', () => {
  it.each(postgresMajors())('takes records apart as pg_waldump does, on PostgreSQL %i', async (major) => {
    await using cluster = await Cluster.create(major, {
      walSegmentSizeMiB: 1,
      template: true,
      settings: { ...WORKLOAD_SETTINGS, wal_level: levelOf(major), wal_compression: COMPRESSION[major] },
    });
    await cluster.start();
    const start = parseLsn(await cluster.sql('select pg_current_wal_insert_lsn()'));
    await cluster.sql(INDEX_KINDS);
    const end = parseLsn(await cluster.sql('select pg_current_wal_insert_lsn()'));
    await cluster.stop();
    const directory = path.join(cluster.data, 'pg_wal');
    const segments = await segmentsOf(directory, SEGMENT_BYTES);
    const theirs = await linesOfWaldump(cluster, directory, start, end);
    const mine = linesOfLens(segments, major, start, end);
    expect(theirs.length).toBeGreaterThan(5000);
    expect(mine).toEqual(theirs);
    const managers = new Set(mine.map((line) => line.split(' ')[1]));
    for (const name of ['BRIN', 'Btree', 'Gin', 'Gist', 'Hash', 'Heap', 'Heap2', 'SPGist', 'Sequence'])
      expect(managers).toContain(name);
  });
});

describe('what the lens counts', () => {
  it.each(postgresMajors())('is what was done, on PostgreSQL %i', async (major) => {
    await using cluster = await Cluster.create(major, {
      walSegmentSizeMiB: 1,
      template: true,
      settings: { ...WORKLOAD_SETTINGS, wal_level: levelOf(major) },
    });
    await cluster.start();
    await cluster.sql('create table counted (id int primary key, note text); checkpoint');
    const node = Number(await cluster.sql(`select pg_relation_filenode('counted')`));
    const xidOf = async (statements: string): Promise<number> =>
      Number(
        (await cluster.sql(`begin; ${statements}; select pg_current_xact_id(); commit`))
          .split('\n')
          .findLast((line) => /^\d+$/.test(line)),
      );
    const inserted = await xidOf(
      `insert into counted select g, repeat(md5(g::text), 200) from generate_series(1, 500) g`,
    );
    const copied = await xidOf(`copy counted from program 'seq 1001 2000 | sed "s/$/\\tcopied/"'`);
    const updated = await xidOf(`update counted set note = 'new' where id <= 300`);
    const saved = await xidOf(
      `delete from counted where id <= 10; savepoint a; delete from counted where id <= 60; rollback to a; savepoint b; delete from counted where id between 61 and 80; release b`,
    );
    const conflicting = await xidOf(
      `insert into counted select 1001 from generate_series(1, 3) on conflict do nothing; insert into counted values (5000, 'a'), (5001, 'b') on conflict do nothing`,
    );
    const end = parseLsn(await cluster.sql('select pg_switch_wal()'));
    await cluster.stop();
    const lens = createWalLens({ segmentSizeBytes: SEGMENT_BYTES });
    const rows = new Map<number, string>();
    const created: number[] = [];
    for (const { start, bytes } of await segmentsOf(path.join(cluster.data, 'pg_wal'), SEGMENT_BYTES)) {
      if (start > end) break;
      const index = lens.read(bytes, { timeline: 1, start: lsn(start), more: false });
      expect(index?.fault).toBeUndefined();
      for (const { xid, outcome, tables, created: files } of index?.transactions ?? []) {
        created.push(...files.map(({ relfilenode }) => relfilenode));
        const table = tables.find(({ relation }) => relation.relfilenode === node);
        if (outcome === 'commit' && table !== undefined)
          rows.set(xid, `${table.inserted} ${table.updated} ${table.deleted}`);
      }
    }
    expect(created).toContain(node);
    expect(rows.get(inserted)).toBe('500 0 0');
    expect(rows.get(copied)).toBe('1000 0 0');
    expect(rows.get(updated)).toBe('0 300 0');
    expect(rows.get(saved)).toBe('0 0 30');
    expect(rows.get(conflicting)).toBe('2 0 0');
  });
});
