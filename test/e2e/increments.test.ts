import { mkdir } from 'node:fs/promises';
import { type Major, needs, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { comparePages, relationFiles } from './support/compare-pages.ts';
import { dumpAll } from './support/dump.ts';
import type { BackupFacts } from './support/reports.ts';
import { Site } from './support/site.ts';

type Method = BackupFacts['method'];

/** Everything that is there before the first backup. Two databases have the same relfilenodes and other content. */
const BEFORE = (major: Major): string => `
create table big as select i, md5(i::text) as t from generate_series(1, 20000) i;
create index on big (t);
create table shrinking as select i, repeat('x', 100) as t from generate_series(1, 12000) i;
create table emptied as select i from generate_series(1, 12000) i;
create table rewritten as select i, md5(i::text) as t from generate_series(1, 12000) i;
create table dropped as select i from generate_series(1, 12000) i;
create table growing as select i from generate_series(1, 12000) i;
create table moving as select i, md5(i::text) as t from generate_series(1, 12000) i;
create unlogged table scratch as select i from generate_series(1, 12000) i;
create sequence counter;
create database one template template0;
\\c one
create table twin as select i, 'one' as t from generate_series(1, 20000) i;
\\c postgres
create database two template one ${major >= 15 ? 'strategy file_copy' : ''};
create database roaming template one;
\\c two
update twin set t = 'two';
vacuum twin;
\\c postgres
vacuum;
checkpoint;
`;

/** What happens between the backups. */
const CHANGES = (major: Major): readonly string[] => [
  `update big set t = md5(t) where i % 1000 = 0;
   create table fresh as select i, md5(i::text) as t from generate_series(1, 8000) i;
   insert into growing select i from generate_series(1, 8000) i;
   delete from shrinking where i > 4000;
   vacuum shrinking;
   truncate emptied;
   vacuum full rewritten;
   drop table dropped;
   insert into scratch select i from generate_series(1, 12000) i;
   select nextval('counter');
   alter table moving set tablespace elsewhere;
   alter database roaming set tablespace elsewhere;
   alter database roaming set tablespace pg_default;
   create database copied template two ${major >= 15 ? 'strategy file_copy' : ''};`,
  // The same path, file by file, holds pages of another database whose LSNs are older than the backup to build on.
  major >= 15
    ? `select oid as trap from pg_database where datname = 'one' \\gset
       drop database one;
       create database one template two strategy file_copy oid = :trap;`
    : `drop database one; create database one template two;`,
  `insert into shrinking select i, repeat('y', 100) from generate_series(4001, 10000) i;
   insert into emptied select i from generate_series(1, 50) i;
   alter table moving set tablespace pg_default;
   vacuum full pg_class;
   reindex table big;
   cluster rewritten using rewritten_key;
   drop database copied;`,
  `update big set t = md5(t) where i = 1;`,
];

async function fill(site: Site): Promise<string> {
  const { origin } = site;
  const elsewhere = await site.makeDirectory('elsewhere');
  await origin.sql(`create tablespace elsewhere location '${elsewhere}'`);
  await origin.sql(BEFORE(origin.major));
  await origin.sql('create index rewritten_key on rewritten (t)');
  return elsewhere;
}

/** Restored and not yet started, the files of a backup are those of a base backup PostgreSQL takes of the idle server. */
async function compareFiles(site: Site, { label }: BackupFacts, below: string, elsewhere: string): Promise<number> {
  const { origin } = site;
  const theirs = site.freshPath('theirs');
  const space = site.freshPath('their-space');
  await mkdir(space);
  const mapping = ['-T', `${elsewhere}=${space}`, '--checkpoint=fast', '-X', 'none', '--no-sync'];
  await origin.exec('pg_basebackup', ['-D', theirs, ...mapping]);
  const mine = site.freshPath();
  const oid = await origin.sql("select oid from pg_tablespace where spcname = 'elsewhere'");
  const map = ['--tablespace', `${oid}=${site.freshPath('my-space')}`];
  await site.restore(['--immediate', '--backup', label, ...map], mine);
  await origin.exec('pg_verifybackup', ['-n', mine]);
  expect(await relationFiles(mine)).toEqual(await relationFiles(theirs));
  const { older, different } = await comparePages(mine, theirs, below);
  expect(different).toEqual([]);
  return older;
}

/** Recovered to the newest moment, it is the origin: every row, and every index beside its table. */
async function compareContent(site: Site, elsewhere: string): Promise<void> {
  const { origin } = site;
  const dump = await dumpAll(origin);
  await site.archiveAll();
  const oid = await origin.sql("select oid from pg_tablespace where spcname = 'elsewhere'");
  const space = site.freshPath('my-space');
  const cluster = await site.recover(['--latest', '--tablespace', `${oid}=${space}`]);
  expect(await dumpAll(cluster)).toBe(dump.replaceAll(elsewhere, space));
  await cluster.exec('pg_amcheck', ['--all', '--install-missing', '--heapallindexed', '--jobs', '2']);
  await cluster.stop();
  await cluster.exec('pg_checksums', ['--check', '-D', cluster.data]);
}

const cases = postgresMajors([14, 18]).flatMap((major): { major: Major; method: Method }[] => {
  const streamed = { major, method: major >= 17 ? 'stream-incremental' : 'stream' } as const;
  const local = { major, method: 'local' } as const;
  if (major === 18) return [streamed, local];
  return major === 15 ? [local] : [streamed];
});

describe.each(cases)('increments of PostgreSQL $major read by $method', ({ major, method }) => {
  test('hold what a base backup would, one built on the other', async (context) => {
    await needs(context, `postgres-${major}`);
    const settings = { autovacuum: false, ...(method === 'stream-incremental' ? { summarize_wal: true } : {}) };
    await using site = await Site.create(major, { settings, dataDirectory: true });
    const elsewhere = await fill(site);
    const from = ['--from', method === 'local' ? 'local' : 'stream'];
    let parent = await site.backup(from);
    expect(parent).toMatchObject({ type: 'full', method: method === 'local' ? 'local' : 'stream' });
    for (const [index, change] of CHANGES(major).entries()) {
      await site.origin.sql(change);
      await site.archiveAll();
      const taken = await site.backup([...from, '--type', 'incremental']);
      expect(taken).toMatchObject({ type: 'incremental', method, parent: parent.label });
      expect(taken.reusedBytes).toBeGreaterThan(4 << 20);
      // Only pages older than the increment before can be compared: what one brings is looked at in the one that builds on it.
      const older = index % 2 === 0 ? Infinity : await compareFiles(site, taken, parent.startLsn, elsewhere);
      expect(older).toBeGreaterThan(1000);
      parent = taken;
    }
    await compareContent(site, elsewhere);
  });
});
