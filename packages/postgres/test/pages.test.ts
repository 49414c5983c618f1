/** Pages of real clusters: what PostgreSQL finds right or damaged, and changed, we find so too. */
import { open, readdir, readFile, truncate } from 'node:fs/promises';
import path from 'node:path';
import { parseLsn } from '@keyframe/contracts';
import { allMajors, Cluster } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  connectSql,
  createPageInspector,
  PAGE,
  type PageQuestion,
  parseRelationPath,
  readControlFile,
  readPage,
} from '../src/index.ts';
import { targetOf } from './replication-helpers.ts';

const BLOCK = 8192;
const inspector = createPageInspector();

interface Found {
  readonly pages: number;
  readonly zero: number;
  readonly unchanged: number;
  readonly damaged: readonly string[];
}

/** Judges every relation file of a data directory. */
async function judge(cluster: Cluster, question: Partial<PageQuestion> = {}): Promise<Found> {
  const { relationSegmentBlocks } = readControlFile(await readFile(path.join(cluster.data, 'global', 'pg_control')));
  const found = { pages: 0, zero: 0, unchanged: 0, damaged: [] as string[] };
  for (const name of await readdir(cluster.data, { recursive: true })) {
    const relation = parseRelationPath(name);
    // A segment of a gibibyte of zeros has nothing to say.
    if (relation === undefined || name === sparse) continue;
    const bytes = await readFile(path.join(cluster.data, name));
    const states = new Uint8Array(bytes.length / BLOCK);
    const firstBlock = relation.segment * relationSegmentBlocks;
    const defaults = { firstBlock, unchangedBelow: undefined, verify: true, verifyBelow: undefined };
    const { zero, unchanged, damaged } = inspector.inspect(bytes, { ...defaults, states, ...question });
    found.pages += states.length;
    found.zero += zero;
    found.unchanged += unchanged;
    if (damaged > 0)
      found.damaged.push(
        ...[...states.keys()].filter((page) => states[page] === PAGE.damaged).map((page) => `${name} ${page}`),
      );
  }
  return found;
}

let sparse = '';

async function change(file: string, block: number, alter: (page: Buffer) => void): Promise<void> {
  await using handle = await open(file, 'r+');
  const page = Buffer.alloc(BLOCK);
  await handle.read(page, 0, BLOCK, block * BLOCK);
  alter(page);
  await handle.write(page, 0, BLOCK, block * BLOCK);
}

const flip =
  (offset: number) =>
  (page: Buffer): void =>
    void page.writeUInt8(page.readUInt8(offset) ^ 0x80, offset);

describe.each(allMajors)('pages of PostgreSQL %i', (major) => {
  let cluster: Cluster;
  let big = '';

  beforeAll(async () => {
    cluster = await Cluster.create(major, { template: true, settings: { autovacuum: false, wal_log_hints: true } });
    await cluster.start();
    await cluster.sql(`
      create extension pageinspect;
      create table big (x int primary key, y text, z int[], p point);
      insert into big select x, repeat(md5(x::text), 4), array[x, x % 7], point(x, x) from generate_series(1, 20000) x;
      create index on big using hash (y);
      create index on big using gin (z);
      create index on big using gist (p);
      create index on big using spgist (p);
      create index on big using brin (x);
      create table long as select repeat(md5(x::text), 1000) from generate_series(1, 100) x;
      create unlogged table scratch as select generate_series(1, 1000) x;
      create unlogged table scratch_indexed (x int primary key);
      create sequence counter;
      create table wide (x int) with (fillfactor = 10);
      insert into wide values (1);
      vacuum;`);
    big = await cluster.sql(`select pg_relation_filepath('big')`);
    sparse = await cluster.sql(`select pg_relation_filepath('wide')`);
    await cluster.stop();
    // PostgreSQL takes the new pages for its own and goes on in the next segment file.
    await truncate(path.join(cluster.data, sparse), 1 << 30);
    await cluster.start();
    await cluster.sql(`insert into wide select generate_series(1, 1000); checkpoint`);
  });
  afterAll(async () => {
    await cluster[Symbol.asyncDispose]();
  });

  it('are all right, in every segment file and fork', async () => {
    await cluster.stop();
    const { pages, damaged } = await judge(cluster);
    expect(pages).toBeGreaterThan(4000);
    expect(damaged).toEqual([]);
    const next = await readFile(path.join(cluster.data, `${sparse}.1`));
    const states = new Uint8Array(next.length / BLOCK);
    const question = { unchangedBelow: undefined, verify: true, verifyBelow: undefined, states };
    expect(states.length).toBeGreaterThan(5);
    expect(inspector.inspect(next, { ...question, firstBlock: 131_072 }).damaged).toBe(0);
    expect(inspector.inspect(next, { ...question, firstBlock: 0 }).damaged).toBe(states.length);
  });

  it('have changed when PostgreSQL says so', async () => {
    await cluster.start();
    const mark = await cluster.sql('checkpoint; select pg_current_wal_insert_lsn()');
    await cluster.sql(`update big set z = '{1}' where x % 1000 = 1; checkpoint`);
    const [lsns = '', pages = ''] = (
      await cluster.sql(`
        select count(*) filter (where lsn < '${mark}' and lsn <> '0/0'), count(*) from generate_series(0, pg_relation_size('big') / 8192 - 1) n,
          lateral page_header(get_raw_page('big', n::int))`)
    ).split('|');
    const bytes = await readFile(path.join(cluster.data, big));
    const states = new Uint8Array(bytes.length / BLOCK);
    const question = { firstBlock: 0, unchangedBelow: parseLsn(mark), verify: true, verifyBelow: undefined, states };
    const counts = inspector.inspect(bytes, question);
    expect([counts.unchanged, states.length]).toEqual([Number(lsns), Number(pages)]);
    expect(states.length - counts.unchanged).toBeGreaterThan(19);
    expect(counts.unchanged).toBeGreaterThan(100);
  });

  it('are damaged when pg_checksums says so', async () => {
    await cluster.stop();
    const file = path.join(cluster.data, big);
    const before = await readFile(file);
    await change(file, 1, flip(BLOCK - 1));
    await change(file, 3, flip(9));
    await change(file, 7, (page) => page.copyWithin(4096, 0));
    await change(file, 9, (page) => before.copy(page, 0, 10 * BLOCK, 11 * BLOCK));
    const said = await cluster.tryExec('pg_checksums', ['--check', '-f', path.basename(big), '-D', cluster.data]);
    expect(said.stdout).toMatch(/Bad checksums: +4\n/);
    const { damaged } = await judge(cluster);
    expect(damaged).toEqual([1, 3, 7, 9].map((page) => `${big} ${page}`));
  });

  it('can be read again through the server', async () => {
    await cluster.start();
    const bytes = await readFile(path.join(cluster.data, big));
    const sql = await connectSql(await targetOf(cluster.url));
    expect(await readPage(sql, big, 9)).toEqual(bytes.subarray(9 * BLOCK, 10 * BLOCK));
    expect(await readPage(sql, big, 1_000_000)).toBeUndefined();
    expect(await readPage(sql, 'base/1/4711', 0)).toBeUndefined();
    await sql.close();
    await cluster.sql('create role plain login');
    const plain = await connectSql(await targetOf(cluster.url.replace('postgres@', 'plain@')));
    await expect(readPage(plain, big, 0)).rejects.toMatchObject({ details: { sqlstate: '42501' } });
    await plain.close();
  });
});
