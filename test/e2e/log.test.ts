import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { announcedSeed, needs, postgresMajors, Random } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { checkHistory } from './support/check-history.ts';
import { Site } from './support/site.ts';

describe.each(postgresMajors([18]))('PostgreSQL %i', (major) => {
  test('log counts the rows of every transaction, and a target gives back what plan said', async (context) => {
    await needs(context, `postgres-${major}`);
    const random = new Random(announcedSeed(`log ${major}`));
    const settings = { wal_level: random.pick(['replica', 'logical']) };
    // Python reads it without further packages.
    await using site = await Site.create(major, { settings, compress: 'gzip' });
    const size = { sessions: 3, transactions: 30, restores: 1 };
    expect(await checkHistory(site, random, size)).toMatchObject({ wrong: [], transactions: 90 });
    // What the index says of all that is what reading the WAL once more says.
    expect(await site.report(['wal', 'verify', '--deep'])).toMatchObject({ findings: [], coverage: { remembered: 0 } });
    // And a reader that knows only the specification tells the same rows.
    const { entries } = await site.report<Told>(['log', '--all', '--each', '--limit', '1000000']);
    expect(await rowsInPython(site.repository)).toEqual(sumOfRows(entries));
  });
});

interface ToldTable {
  readonly name: string;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
}

/** Rows inserted, updated and deleted by what was committed, and how many transactions wrote to it, by table. */
type Rows = Record<string, [number, number, number, number]>;

function sumOfRows(entries: Told['entries']): Rows {
  const sums: Rows = {};
  for (const { outcome, tables } of entries)
    if (outcome === 'commit')
      for (const { name, inserted, updated, deleted } of tables) add(sums, name, [inserted, updated, deleted, 1]);
  return sums;
}

async function rowsInPython(repository: string): Promise<Rows> {
  const reader = fileURLToPath(new URL('../format-reader/reader.py', import.meta.url));
  const { stdout } = await promisify(execFile)('python3', [reader, 'log', repository, 'main', '1', '1'], {
    maxBuffer: 1 << 28,
  });
  const sums: Rows = {};
  for (const line of stdout.trim().split('\n')) {
    const { outcome, count, tables } = JSON.parse(line) as PythonLine;
    if (outcome === 'commit')
      for (const [name, [inserted, updated, deleted]] of Object.entries(tables))
        add(sums, name, [inserted * count, updated * count, deleted * count, count]);
  }
  return sums;
}

interface PythonLine {
  readonly outcome: string;
  readonly count: number;
  readonly tables: Record<string, [number, number, number]>;
}

function add(sums: Rows, name: string, more: Rows[string]): void {
  const before = sums[name] ?? [0, 0, 0, 0];
  sums[name] = [before[0] + more[0], before[1] + more[1], before[2] + more[2], before[3] + more[3]];
}

interface Told {
  readonly entries: readonly {
    readonly outcome: string;
    readonly tables: readonly ToldTable[];
    readonly xid: number;
    readonly lsn: string;
    readonly database?: string;
    readonly did: readonly string[];
    readonly suspicious: readonly string[];
  }[];
}

interface Effects {
  readonly stopsAt: string;
  readonly effects: {
    readonly lost: { readonly tables: readonly { readonly name: string; readonly deleted: number }[] };
    readonly targets: readonly { readonly target: string; readonly lastCommit?: { readonly xid: number } }[];
    readonly keptThoughLater: readonly { readonly xid: number }[];
    readonly lostThoughEarlier: readonly { readonly xid: number }[];
  };
}

const STORY = `
create table orders (id serial primary key, item text);
insert into orders (item) select 'a' from generate_series(1, 3);
alter table orders add column price int;
update customers set name = name || '!' where id <= 5;
delete from customers where id > 0;
alter table orders rename to purchases;
truncate purchases;
create index on purchases (item);
create role somebody;
alter table customers drop column name;
drop table customers;
create database elsewhere;
`;

describe.each(postgresMajors([14]))('PostgreSQL %i, somebody deletes all customers', (major) => {
  test('log finds it, plan says what each choice costs, restore brings them back', async (context) => {
    await needs(context, `postgres-${major}`);
    await using site = await Site.create(major, { settings: { autovacuum: 'off' } });
    const { origin } = site;
    await origin.sql('create table customers (id int primary key, name text); analyze');
    await origin.sql("insert into customers select g, 'x' from generate_series(1, 10000) g");
    await origin.sql('analyze customers');
    // What is in this segment has names by the backup alone.
    await origin.sql('select pg_switch_wal()');
    await site.backup();
    await origin.sql(STORY);
    await site.archiveAll();

    const { entries } = await site.report<Told>(['log', '--since', '1h ago']);
    const did = entries.flatMap((each) => each.did);
    expect(did.slice(did.indexOf('CREATE TABLE public.orders'))).toEqual([
      'CREATE TABLE public.orders',
      'INSERT 3 rows · public.orders',
      'ALTER TABLE public.orders',
      'UPDATE 5 rows · public.customers',
      'DELETE 10,000 rows · public.customers',
      'ALTER TABLE public.orders RENAME TO public.purchases',
      'TRUNCATE TABLE public.purchases',
      'CREATE INDEX public.purchases_item_idx',
      'CREATE ROLE',
      'ALTER TABLE public.customers',
      'DROP TABLE public.customers',
      'CREATE DATABASE elsewhere',
    ]);
    const marked = entries.filter(({ suspicious }) => suspicious.length > 0).flatMap((each) => each.did);
    expect(marked).toEqual([
      'DELETE 10,000 rows · public.customers',
      'TRUNCATE TABLE public.purchases',
      'DROP TABLE public.customers',
    ]);

    const found = await site.report<Told>(['log', '--epoch', '1', '--table', 'customers', '--min-rows', '1000']);
    expect(found.entries[0]?.did).toEqual(['INSERT 10,000 rows · public.customers']);
    expect(found).toMatchObject({ otherEpochs: [], unnamed: { tables: 0, before: expect.stringMatching('/') } });
    const bad = found.entries.find((each) => each.did[0]?.startsWith('DELETE'));
    expect(bad?.database).toBe('postgres');
    const before = ['--before-xid', String(bad?.xid)];
    const { effects } = await site.report<Effects>(['plan', ...before]);
    expect(effects.lost.tables.find(({ name }) => name === 'public.customers')?.deleted).toBe(10_000);
    expect(effects.targets[0]?.target).toBe(before.join(' '));
    expect(effects.targets[0]?.lastCommit?.xid).toBe((bad?.xid ?? 0) - 1);
    const copy = await site.recover(before);
    expect(await copy.sql("select count(*), count(*) filter (where name like '%!') from customers")).toBe('10000|5');
  });
});

test('plan names the transactions that commit in another order than they began', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18, { settings: { autovacuum: 'off' } });
  const { origin } = site;
  await origin.sql('create table t (id int)');
  await site.backup();
  await origin.sql("begin; insert into t values (1); prepare transaction 'early'");
  const target = await origin.sql('begin; insert into t values (2); select pg_current_xact_id(); commit');
  await origin.sql("commit prepared 'early'; insert into t values (3)");
  await site.archiveAll();
  const { effects } = await site.report<Effects>(['plan', '--xid', target]);
  expect(effects.lostThoughEarlier.map(({ xid }) => xid)).toEqual([Number(target) - 1]);
  expect(effects.keptThoughLater).toEqual([]);
});
