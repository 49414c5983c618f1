import { appendFile, open, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cluster, needs } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import { comparePages } from './support/compare-pages.ts';
import { dumpAll } from './support/dump.ts';
import type { BackupFacts } from './support/reports.ts';
import { Site, switchWal } from './support/site.ts';

const FILLED =
  'create table big as select i, md5(i::text) as t from generate_series(1, 60000) i; create index on big (t);';

test('a backup with damaged pages is there, ends with 3, and says which they are for good', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18, { dataDirectory: true });
  const { origin } = site;
  await origin.sql(FILLED);
  await site.backup();
  const path = await origin.sql("select pg_relation_filepath('big')");
  await origin.stop();
  {
    await using file = await open(join(origin.data, path), 'r+');
    await file.write(Buffer.from('damage'), 0, 6, 7 * 8192 + 4000);
  }
  await origin.start();
  for (const from of ['stream', 'local']) {
    const { status, stdout, stderr } = await site.keyframe(['backup', '--from', from]);
    expect([status, stderr]).toEqual([3, expect.stringContaining(`page 7 of ${path} is damaged`)]);
    const { label, ...report } = JSON.parse(stdout) as BackupFacts;
    expect(report).toMatchObject({
      type: 'incremental',
      damagedPageCount: 1,
      damagedPages: [{ path, block: 7, relation: 'postgres: big' }],
    });
    expect((await site.list()).backups.at(-1)).toMatchObject({ label, damagedPageCount: 1 });
    const text = await site.text(['show', label]);
    expect(text).toContain(`damaged: page 7 of ${path} (postgres: big)`);
    expect(await site.text(['list'])).toContain(`${label}: 1 damaged page, first page 7 of postgres: big`);
    // Stored as it was read.
    const { directory } = await site.restore(['--immediate', '--backup', label]);
    expect((await comparePages(directory, origin.data, 'FFFFFFFF/FFFFFFFF')).different).not.toContainEqual(
      expect.stringContaining(`${path} `),
    );
  }
});

test('what cannot be done together is refused before anything is asked of the server', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18);
  const both = await site.fault(['backup', '--type', 'incremental', '--no-reuse']);
  expect([both.code, both.status]).toEqual(['INVALID_OPTION', 2]);
  const workers = await site.fault(['backup', '--workers', '2']);
  expect([workers.code, workers.hint]).toEqual(['INVALID_OPTION', expect.stringContaining('--from local')]);
  const local = await site.fault(['backup', '--from', 'local']);
  expect([local.code, local.status, local.hint]).toEqual([
    'INVALID_OPTION',
    2,
    expect.stringContaining('source.dataDirectory'),
  ]);
  expect((await site.fault(['backup', '--type', 'incremental'])).code).toBe('NO_PARENT');
  expect(await site.list()).toMatchObject({ backups: [], unfinished: [] });
});

test('a full backup stores again only what it is told to', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18, { settings: { autovacuum: false } });
  await site.origin.sql(`${FILLED} vacuum;`);
  const first = await site.backup();
  const again = await site.backup(['--type', 'full', '--memory', '16MiB']);
  expect(again).toMatchObject({ type: 'full', method: 'stream', parent: first.label });
  expect(again.storedBytes).toBeLessThan(first.storedBytes / 4);
  const anew = await site.backup(['--type', 'full', '--no-reuse', '--memory', '16MiB']);
  expect(anew).toMatchObject({ type: 'full', reusedBytes: 0 });
  expect(anew).not.toHaveProperty('parent');
  expect(anew.storedBytes).toBeGreaterThan(first.storedBytes * 0.9);
});

test('backups of a primary and of its standby build on one another', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18, { settings: { autovacuum: false } });
  const { origin } = site;
  await origin.sql(FILLED);
  const standby = await standbyOf(site);
  const config = join(site.directory, 'standby.yaml');
  await site.writeConfig({ walTimeout: '60s' }, standby.url, config);
  const first = await site.backup();
  await origin.sql('update big set t = md5(t) where i % 5000 = 0; create table fresh as select 1 as n');
  await origin.sql('checkpoint');
  await caughtUp(site, standby);
  await standby.sql('checkpoint');
  const switching = setInterval(() => void switchWal(origin).catch(() => undefined), 500);
  const second = await site
    .report<BackupFacts>(['backup', '--type', 'incremental'], { config })
    .finally(() => clearInterval(switching));
  expect(second).toMatchObject({ type: 'incremental', parent: first.label });
  expect(second.reusedBytes).toBeGreaterThan(4 << 20);
  await origin.sql('delete from big where i % 5000 = 1');
  const third = await site.backup(['--type', 'incremental']);
  expect(third).toMatchObject({ parent: second.label });
  const dump = await dumpAll(origin);
  await site.archiveAll();
  for (const { label } of [second, third]) {
    const cluster = await site.recover(['--latest', '--backup', label]);
    expect(await dumpAll(cluster)).toBe(dump);
    await cluster.exec('pg_amcheck', ['--all', '--install-missing', '--heapallindexed']);
    await cluster.stop();
  }
});

async function standbyOf(site: Site): Promise<Cluster> {
  const { origin } = site;
  const data = site.freshPath('standby');
  await origin.exec('pg_basebackup', ['-D', data, '-X', 'stream', '-c', 'fast', '--no-sync']);
  await writeFile(join(data, 'standby.signal'), '');
  const source = `primary_conninfo = 'host=${origin.socketDirectory} port=${origin.port} user=postgres'\n`;
  await appendFile(join(data, 'postgresql.auto.conf'), source);
  const standby = await site.attach(data);
  await standby.start();
  return standby;
}

async function caughtUp({ origin }: Site, standby: Cluster): Promise<void> {
  const end = await origin.sql('select pg_current_wal_lsn()');
  await expect
    .poll(() => standby.sql(`select pg_last_wal_replay_lsn() >= '${end}'::pg_lsn`), { timeout: 60_000 })
    .toBe('t');
}
