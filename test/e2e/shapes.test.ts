import { mkdir, readdir, readlink, rename, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { Cluster, needs, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { dumpAll } from './support/dump.ts';
import { Site } from './support/site.ts';

/** Every table with something in it, by names and contents that are easy to get wrong. */
const CONTENT = `
create table plain as select i, md5(i::text) as text from generate_series(1, 20000) i;
create index on plain (text);
create unlogged table scratch as select generate_series(1, 1000) i;
create table toasted as select i, (select string_agg(md5((i * j)::text), '') from generate_series(1, 400) j) as long
  from generate_series(1, 50) i;
alter table toasted alter column long set storage external;
update toasted set long = long || 'x';
select lo_from_bytea(0, decode(repeat('00ff17', 20000), 'hex')) from generate_series(1, 5);
create sequence counter; select setval('counter', 12345);
create materialized view seen as select count(*) from plain;
create role "Zoë ""the"" 1st" login;
comment on table plain is E'two\\nlines';
`;

/** Encodings whose names are no UTF-8 in the catalogue. */
const ENCODED = `
create database "latin" template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C';
create database "ascii" template template0 encoding 'SQL_ASCII' lc_collate 'C' lc_ctype 'C';
`;

async function fill(site: Site): Promise<void> {
  const { origin } = site;
  await origin.sql(CONTENT);
  await origin.sql(ENCODED);
  // Made inside a LATIN1 database, the name is stored in that encoding: 63 61 66 e9.
  await origin.sql(`create database "café" template template0 encoding 'LATIN1' lc_collate 'C' lc_ctype 'C'`, {
    database: 'latin',
  });
  await origin.sql("create table grüße (name text); insert into grüße values ('Åse')", { database: 'latin' });
  await origin.sql("create table raw (bytes text); insert into raw values (E'\\\\xff')", { database: 'ascii' });
}

describe.each([
  { major: 14, segmentMiB: 1 },
  { major: 18, segmentMiB: 64 },
] as const)('PostgreSQL $major with WAL segments of $segmentMiB MiB', ({ major, segmentMiB }) => {
  test('is restored with every database, table, large object and tablespace as it was', async (context) => {
    await needs(context, `postgres-${major}`);
    await using site = await Site.create(major, { walSegmentSizeMiB: segmentMiB });
    const { origin } = site;
    const first = await site.makeDirectory('first space');
    const second = await site.makeDirectory('zweiter=räume');
    await origin.sql(`create tablespace one location '${first}'`);
    await origin.sql(`create tablespace two location '${second}'`);
    await fill(site);
    const tables = 'create table %s (i int primary key) tablespace %s; insert into %s select generate_series(1, 5000)';
    for (const space of ['one', 'two']) await origin.sql(tables.replaceAll('%s', space));
    await origin.sql('create database spaced tablespace two');
    const { tablespaces, label } = await site.backup();
    expect(tablespaces.map(({ location }) => location).toSorted()).toEqual([first, second].toSorted());
    await origin.sql('insert into one select generate_series(6000, 7000); delete from two where i < 100');
    const dump = await dumpAll(origin);
    await site.archiveAll();

    // Where they were they cannot go: a live cluster uses them.
    const fault = await site.fault(['restore', '--latest', '--to', site.freshPath()]);
    expect(fault.code).toBe('TARGET_DIRECTORY');
    const [newOne, newTwo] = [site.freshPath('mapped one'), site.freshPath('mapped=two')];
    const [oid] = tablespaces.filter(({ location }) => location === first).map((each) => String(each.oid));
    const map = ['--tablespace', `${oid}=${newOne}`, '--tablespace', `${escaped(second)}=${escaped(newTwo)}`];
    const mapped = await site.recover(['--latest', '--backup', label, ...map]);
    expect(await dumpAll(mapped)).toBe(dump.replaceAll(first, newOne).replaceAll(second, newTwo));
    expect(await linksOf(mapped)).toEqual([newOne, newTwo].toSorted());
    expect(await readdir(newTwo)).toHaveLength(1);
    // An unlogged table is there, empty, and works.
    expect(await mapped.sql('insert into scratch values (1); select count(*) from scratch')).toBe('1');
    await mapped.stop();
    await mapped.exec('pg_checksums', ['--check', '-D', mapped.data]);

    // With the origin gone they go where they were.
    await origin.stop();
    for (const directory of [first, second]) await rename(directory, `${directory}.gone`);
    const unmapped = await site.recover(['--latest']);
    expect(await dumpAll(unmapped)).toBe(dump);
    expect(await linksOf(unmapped)).toEqual([first, second].toSorted());
  });
});

const escaped = (path: string): string => path.replaceAll('=', String.raw`\=`);

async function linksOf(cluster: Cluster): Promise<string[]> {
  const directory = join(cluster.data, 'pg_tblspc');
  const names = await readdir(directory);
  return (await Promise.all(names.map((name) => readlink(join(directory, name))))).toSorted();
}

test('a database cluster with 3,000 tables is restored with all of them', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18, { settings: { max_locks_per_transaction: 400 } });
  await site.origin.sql(
    "do $$ begin for i in 1..3000 loop execute format('create table many_%s (i int primary key, t text); insert into many_%s values (%s)', i, i, i); end loop; end $$",
  );
  const { files } = await site.backup();
  expect(files).toBeGreaterThan(9000);
  await site.archiveAll();
  const cluster = await site.recover(['--latest']);
  const sum =
    "select count(*), sum((xpath('/row/i/text()', query_to_xml(format('select i from %I', tablename), false, true, '')))[1]::text::int) from pg_tables where tablename like 'many%'";
  const expected = `3000|${(3000 * 3001) / 2}`;
  expect(await cluster.sql(sum)).toBe(expected);
});

describe.each(postgresMajors([14, 18]))('PostgreSQL %i as initdb left it', (major) => {
  test('is backed up empty and restored empty, with the permissions of its group', async (context) => {
    await needs(context, `postgres-${major}`);
    await using site = await Site.create(major, { initdbArgs: ['--allow-group-access'] });
    const dump = await dumpAll(site.origin);
    await site.backup();
    const { directory } = await site.restore(['--immediate']);
    await using cluster = await Cluster.attach(directory);
    await cluster.exec('pg_verifybackup', ['-n', directory]);
    await cluster.start();
    await cluster.waitPromoted();
    expect(await dumpAll(cluster)).toBe(dump);
    expect(((await stat(directory)).mode & 0o777).toString(8)).toBe('750');
    expect(await cluster.sql('show data_directory_mode')).toBe('0750');
  });
});

test('what an earlier restore or a standby left in the settings does not steer the next recovery', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18);
  const { origin } = site;
  const settings = {
    recovery_target_name: 'from long ago',
    recovery_target_action: 'shutdown',
    restore_command: 'exit 1',
    recovery_end_command: 'touch /nowhere/at/all',
    archive_cleanup_command: 'rm -rf /nowhere/at/all',
    primary_conninfo: 'host=127.0.0.1 port=1',
    primary_slot_name: 'gone',
    synchronous_standby_names: '*',
    work_mem: '7MB',
  };
  await origin.sql('create table t as select 1 as n');
  for (const [name, value] of Object.entries(settings)) await origin.sql(`alter system set ${name} = '${value}'`);
  await mkdir(join(origin.data, 'pg_wal', 'summaries'), { recursive: true });
  await site.backup();
  await origin.sql('set synchronous_commit = local; insert into t values (2)');
  await site.archiveAll();
  const cluster = await site.recover(['--latest']);
  expect(await cluster.sql('insert into t values (3) returning n')).toBe('3');
  expect(await cluster.sql('select count(*) from t')).toBe('3');
  expect(await cluster.sql('show work_mem')).toBe('7MB');
  expect(await cluster.sql('show synchronous_standby_names')).toBe('');
});
