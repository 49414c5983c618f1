import { existsSync } from 'node:fs';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { formatLsn } from '@keyframe/contracts';
import { type EngineEvent, isHolderAlive, takeBackup, thisProcess } from '@keyframe/engine';
import { resolveConnection } from '@keyframe/postgres';
import type { BackupRecord } from '@keyframe/repository';
import { type Cluster, type Major, needs, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { comparePages, relationFiles } from './support/compare-pages.ts';
import { dumpAll } from './support/dump.ts';
import { repositoryAt } from './support/repository.ts';
import { eventually } from './support/servers.ts';
import { Site } from './support/site.ts';

const MIB = 1 << 20;
/** Rows that do not compress, some 290 bytes each. */
const NOISE = Array.from({ length: 16 }, (_, index) => `decode(md5((i + ${index}e8)::text), 'hex')`).join(' || ');

const noise = (table: string, rows: number): string =>
  `create table ${table} as select i, ${NOISE} as t from generate_series(1, ${rows}) i;`;

interface Taken {
  readonly record: BackupRecord;
  /** What this process read meanwhile, from files and sockets alike. */
  readonly readBytes: number;
  readonly skippedBytes: number;
  readonly told: string;
}

/** Takes a backup of local files in this process, which can tell how much it read. */
async function backUp(site: Site): Promise<Taken> {
  const repository = repositoryAt(site.repository);
  const events: EngineEvent[] = [];
  const before = await bytesRead();
  const record = await takeBackup(
    {
      repository,
      clusterName: 'main',
      history: repository.cluster('main'),
      target: await resolveConnection(site.origin.url, {}),
      dataDirectory: site.origin.data,
      holder: await thisProcess('test'),
      isHolderAlive,
      now: () => new Date(),
      walTimeoutMs: 120_000,
      tool: 'test',
    },
    { checkpoint: 'fast', from: 'local', type: 'full', workers: 2, memoryBytes: 16 * MIB },
    { onEvent: (event) => void events.push(event) },
  );
  const skipped = events.map((event) => (event.kind === 'bytes' ? (event.skippedBytes ?? 0) : 0));
  return {
    record,
    readBytes: (await bytesRead()) - before,
    skippedBytes: Math.max(...skipped),
    told: events.map((event) => ('message' in event ? event.message : '')).join('\n'),
  };
}

async function bytesRead(): Promise<number> {
  return Number(/^rchar: (\d+)$/mu.exec(await readFile('/proc/self/io', 'utf8'))?.[1]);
}

/** Kills a backup with no chance to say goodbye, once `isTime` says so of its directory. */
async function killBackup(
  site: Site,
  args: readonly string[],
  isTime: (directory: string) => Promise<boolean>,
): Promise<void> {
  const backups = join(site.repository, 'clusters/main/1/backups');
  const before = new Set(existsSync(backups) ? await readdir(backups) : []);
  const running = site.spawn(['backup', '--from', 'local', '--type', 'full', '--memory', '16MiB', ...args]);
  await eventually(async () => {
    const label = (await readdir(backups)).find((each) => !before.has(each));
    expect(label !== undefined && (await isTime(join(backups, label)))).toBe(true);
  });
  running.child.kill('SIGKILL');
  expect((await running.ended).status).toBe(137);
}

async function storedIn(directory: string): Promise<number> {
  const packs = (await readdir(directory)).filter((name) => name.startsWith('pack-'));
  const sizes = await Promise.all(packs.map(async (name) => (await stat(join(directory, name))).size));
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** Restored, it is the origin: every row, every index beside its table, every checksum. */
async function compareContent(
  site: Site,
  { label }: BackupRecord,
  checksums: boolean,
  then: (cluster: Cluster) => Promise<void> = async () => undefined,
): Promise<void> {
  const dump = await dumpAll(site.origin);
  await site.archiveAll();
  const cluster = await site.recover(['--latest', '--backup', label]);
  expect(await dumpAll(cluster)).toBe(dump);
  await cluster.exec('pg_amcheck', ['--all', '--install-missing', '--heapallindexed']);
  await then(cluster);
  await cluster.stop();
  if (checksums) await cluster.exec('pg_checksums', ['--check', '-D', cluster.data]);
}

describe.each(postgresMajors([14, 18]))('a backup of local files of PostgreSQL %i', (major) => {
  test('that was killed twice does not read again what it stored', async (context) => {
    await needs(context, `postgres-${major}`);
    const checksums = major !== 14;
    await using site = await Site.create(major, {
      dataDirectory: true,
      checksums,
      // What is read of WAL is at most two segments more than there is since.
      walSegmentSizeMiB: 4,
      settings: { autovacuum: false },
    });
    const { origin } = site;
    await origin.sql(`${noise('big', 360_000)} ${noise('touched', 10_000)}`);
    // Else the first look at a row is a change of its page, with checksums on.
    await origin.sql('vacuum freeze');
    await origin.sql('checkpoint');
    const isFar = async (directory: string): Promise<boolean> => (await storedIn(directory)) > 33 * MIB;
    await killBackup(site, ['--max-rate', '24MiB'], isFar);
    await origin.sql(`update touched set t = '1' where i % 100 = 0; update big set t = '2' where i % 100000 = 0`);
    await killBackup(site, ['--max-rate', '24MiB'], isFar);
    await origin.sql(`update touched set t = '3' where i % 70 = 0; delete from big where i % 150000 = 0`);
    const { record, readBytes, skippedBytes } = await backUp(site);
    const { unreadBytes = 0, reusedBytes, sizeBytes } = record;
    expect(unreadBytes).toBeGreaterThan(60 * MIB);
    expect(skippedBytes).toBe(unreadBytes);
    expect(reusedBytes).toBeGreaterThanOrEqual(unreadBytes);
    // Beside what it reads of the cluster there are tails of packs, WAL and what the server answers.
    expect(readBytes).toBeLessThan(sizeBytes - unreadBytes + 16 * MIB);
    await compareContent(site, record, checksums);
  });
});

/** Another database of the same files, older than any backup, under the paths of one that is gone. */
const TWINS = `
create database one template template0;
\\c one
${noise('twin', 5000)}
\\c postgres
create database two template one strategy file_copy;
\\c two
update twin set t = 'two';
vacuum twin;
\\c postgres
checkpoint;`;

/** Each of these leaves no page with a new LSN, or none of the old pages. */
const TRAPS = (major: Major): string => `
vacuum marked;
truncate emptied;
insert into emptied select i, 'new' from generate_series(1, 40000) i;
vacuum full rewritten;
drop table dropped;
delete from cut where i > 1000;
vacuum cut;
insert into cut select i, 'after' from generate_series(1, 40000) i;
\\c two
vacuum full pg_class;
\\c postgres
${
  major >= 15
    ? `select oid as trap from pg_database where datname = 'one' \\gset
drop database one;
create database one template two strategy file_copy oid = :trap;`
    : 'drop database one; create database one template two;'
}`;

describe.each(postgresMajors([14, 18]))('what is not read again of PostgreSQL %i', (major) => {
  test('is nothing that changed without a new LSN, by another way or under another name', async (context) => {
    await needs(context, `postgres-${major}`);
    const checksums = major !== 14;
    const settings = { autovacuum: false, archive_command: 'false' };
    await using site = await Site.create(major, { dataDirectory: true, checksums, settings });
    const { origin } = site;
    const tables = ['marked', 'emptied', 'rewritten', 'dropped', 'cut'].map((table) => noise(table, 5000));
    await origin.sql(major >= 15 ? TWINS : TWINS.replace('strategy file_copy', ''));
    await origin.sql(`${noise('calm', 120_000)} ${tables.join('\n')} create index on marked (i); checkpoint`);
    // Without WAL in the archive it stands still before the end: everything is stored, and nothing published.
    await killBackup(site, [], async (directory) => existsSync(join(directory, 'manifest')));
    await origin.sql(TRAPS(major));
    await site.useArchiveCommand();
    const { record, told } = await backUp(site);
    expect(told).not.toContain('reading again');
    const unreadBytes = record.unreadBytes ?? 0;
    const calm = Number(await origin.sql("select pg_relation_size('calm')"));
    expect(unreadBytes).toBeGreaterThanOrEqual(calm - MIB);
    const trapped = ['marked', 'emptied', 'rewritten', 'cut'].map((table) => `pg_relation_size('${table}')`);
    const inTraps = Number(await origin.sql(`select ${trapped.join(' + ')}`));
    expect(unreadBytes).toBeLessThan(record.sizeBytes - inTraps);
    if (checksums) await comparePlain(site, record);
    await compareContent(site, record, checksums, async (copy) => {
      // A page without its mark would hide that from the map of what all may see.
      await copy.sql('delete from marked where i <= 2000');
      const count =
        'set enable_seqscan = off; set enable_bitmapscan = off; select count(*) from marked where i <= 4000';
      expect((await copy.sql(count)).split('\n').at(-1)).toBe('2000');
    });
  });
});

/** Before replay its files are those of a base backup that PostgreSQL takes of the idle server. */
async function comparePlain(site: Site, { label, startLsn }: BackupRecord): Promise<void> {
  const theirs = site.freshPath('theirs');
  await site.origin.exec('pg_basebackup', ['-D', theirs, '--checkpoint=fast', '-X', 'none', '--no-sync']);
  const mine = site.freshPath();
  await site.restore(['--immediate', '--backup', label], mine);
  expect(await relationFiles(mine)).toEqual(await relationFiles(theirs));
  const { older, different } = await comparePages(mine, theirs, formatLsn(startLsn));
  // Catalogues were looked at by every query since.
  expect(different.filter((page) => Number(/(\d+) \d+$/u.exec(page)?.[1]) >= 16_384)).toEqual([]);
  expect(older).toBeGreaterThan(1000);
}

test('a damaged page that was stored is read again, and told', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18, { dataDirectory: true, settings: { autovacuum: false } });
  const { origin } = site;
  await origin.sql(`${noise('big', 160_000)} checkpoint`);
  await damage(join(origin.data, await origin.sql("select pg_relation_filepath('big')")), 5);
  await killBackup(site, ['--max-rate', '24MiB'], async (directory) => (await storedIn(directory)) > 33 * MIB);
  const { record } = await backUp(site);
  expect(record.damagedPageCount).toBe(1);
  expect(record.unreadBytes).toBeGreaterThan(30 * MIB);
});

async function damage(path: string, page: number): Promise<void> {
  await using file = await open(path, 'r+');
  await file.write(Buffer.from('damage'), 0, 6, page * 8192 + 4000);
}
