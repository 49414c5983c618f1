import { open, readdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type BackupInput, type EngineEvent, isHolderAlive, takeBackup, thisProcess } from '@keyframe/engine';
import { resolveConnection } from '@keyframe/postgres';
import type { BackupCatalogue, BackupRecord, ClusterHistory, EpochArchive } from '@keyframe/repository';
import { needs, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { comparePages, relationFiles } from './support/compare-pages.ts';
import { dumpAll } from './support/dump.ts';
import { repositoryAt } from './support/repository.ts';
import { eventually } from './support/servers.ts';
import type { BackupFacts } from './support/reports.ts';
import { Site } from './support/site.ts';

const FILLED =
  'create table big as select i, md5(i::text) as t from generate_series(1, 60000) i; create index on big (t);';

/** Two databases of the same files and other content; what the second holds is older than any backup. */
const TWINS = `
create database one template template0;
\\c one
create table twin as select i, 'one' as t from generate_series(1, 60000) i;
\\c postgres
create database two template one strategy file_copy;
\\c two
update twin set t = 'two';
vacuum twin;
\\c postgres
checkpoint;`;

const SWAP = `select oid as trap from pg_database where datname = 'one' \\gset
drop database one;
create database one template two strategy file_copy oid = :trap;`;

/** Takes a backup in this process; `meanwhile` is called after each file that was read. */
async function backUp(
  site: Site,
  { from, maxRateKiB }: Pick<BackupInput, 'from' | 'maxRateKiB'>,
  meanwhile: (path: string) => Promise<unknown> | undefined = () => undefined,
): Promise<{ readonly record: BackupRecord; readonly finished: number; readonly told: string }> {
  const repository = repositoryAt(site.repository);
  const cluster = repository.cluster('main');
  let finished = 0;
  const begin: BackupCatalogue['begin'] = async (intent, options) => {
    const { backups } = await cluster.newest().then((archive) => archive ?? Promise.reject(new Error('no epoch')));
    const writer = await backups.begin(intent, options);
    const file: typeof writer.file = (entry, base) => {
      const sink = writer.file(entry, base);
      return {
        ...sink,
        write: (view) => sink.write(view),
        keep: (sizeBytes, view) => sink.keep(sizeBytes, view),
        end: async () => {
          await meanwhile(entry.path);
          await sink.end();
        },
      };
    };
    return new Proxy(writer, {
      get: (target, name) => {
        if (name === 'file') return file;
        if (name === 'finish') finished += 1;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    });
  };
  const watched = (archive: EpochArchive): EpochArchive => ({
    ...archive,
    wal: archive.wal,
    backups: new Proxy(archive.backups, {
      get: (target, name) => {
        if (name === 'begin') return begin;
        const value: unknown = Reflect.get(target, name, target);
        return typeof value === 'function' ? value.bind(target) : value;
      },
    }),
  });
  const history: ClusterHistory = new Proxy(cluster, {
    get: (target, name) => {
      if (name === 'find')
        return async (...args: Parameters<ClusterHistory['find']>) => watched(await target.find(...args));
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
  const events: EngineEvent[] = [];
  const record = await takeBackup(
    {
      repository,
      clusterName: 'main',
      history,
      target: await resolveConnection(site.origin.url, {}),
      dataDirectory: site.origin.data,
      holder: await thisProcess('test'),
      isHolderAlive,
      now: () => new Date(),
      walTimeoutMs: 60_000,
      tool: 'test',
    },
    { checkpoint: 'fast', from, maxRateKiB },
    { onEvent: (event) => void events.push(event) },
  );
  return { record, finished, told: events.map((event) => ('message' in event ? event.message : '')).join('\n') };
}

describe.each(['stream', 'local'] as const)('an increment read by %s', (from) => {
  test('is taken again and in full when files it builds on are created anew while it runs', async (context) => {
    await needs(context, 'postgres-18');
    await using site = await Site.create(18, { settings: { autovacuum: false } });
    await site.origin.sql(TWINS);
    const first = await backUp(site, { from });
    expect(first.record.type).toBe('full');
    await site.origin.sql('create table later as select 1 as n');
    const calm = await backUp(site, { from });
    expect(calm.record).toMatchObject({ type: 'incremental', parent: first.record.label });
    // What happens to other files changes nothing.
    const elsewhere = once(() => site.origin.sql('create table latest as select 1 as n; vacuum full later'));
    const busy = await backUp(site, { from }, () => elsewhere());
    expect(busy.record).toMatchObject({ type: 'incremental', parent: calm.record.label });

    // A server that sends cannot answer DROP DATABASE while nobody reads: there it goes on beside the copy, which is slow.
    const swap = once(() => site.origin.sql(SWAP));
    const swapped = await backUp(site, { from, maxRateKiB: from === 'stream' ? 8 << 10 : undefined }, (path) => {
      if (from === 'stream') void swap();
      return from === 'local' && path === 'global/pg_control' ? swap() : undefined;
    });
    await swap();
    expect(swapped.told).toContain('created anew while it ran');
    // What is withdrawn never has a manifest, from which a rebuilding would bring it back.
    expect(swapped.finished).toBe(1);
    expect(swapped.record).toMatchObject({ type: 'full', parent: busy.record.label });
    expect(swapped.record.reusedBytes).toBeGreaterThan(4 << 20);
    expect((await site.list()).backups.at(-1)?.label).toBe(swapped.record.label);
    expect((await site.list()).unfinished).toEqual([]);

    const theirs = site.freshPath('theirs');
    await site.origin.exec('pg_basebackup', ['-D', theirs, '--checkpoint=fast', '-X', 'none', '--no-sync']);
    const { directory } = await site.restore(['--immediate', '--backup', swapped.record.label]);
    expect(await relationFiles(directory)).toEqual(await relationFiles(theirs));
    expect((await comparePages(directory, theirs, 'FFFFFFFF/FFFFFFFF')).different).toEqual([]);
  });
});

test('an increment whose WAL is not all there is compared by content', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18);
  await site.origin.sql(FILLED);
  const full = await site.backup();
  for (let count = 0; count < 3; count++) await site.archiveAll();
  const segments = (await site.objects('clusters/main/1/wal')).filter((key) => /\/[0-9A-F]{24}$/.test(key));
  await rm(join(site.repository, segments.at(-2) ?? ''));
  const { status, stdout, stderr } = await site.keyframe(['backup']);
  expect(status).toBe(0);
  expect(stderr).toMatch(/by content: WAL segment [0-9A-F]{24} is not in the repository/);
  expect(JSON.parse(stdout)).toMatchObject({ type: 'full', parent: full.label });
  expect(JSON.parse(stdout).reusedBytes).toBeGreaterThan(4 << 20);
});

test('a cluster whose checksums were switched is read in full', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18);
  const { origin } = site;
  await origin.sql(FILLED);
  const first = await site.backup();
  await origin.stop();
  await origin.exec('pg_checksums', ['--disable', '-D', origin.data]);
  await origin.start();
  const fault = await site.fault(['backup', '--type', 'incremental']);
  expect([fault.code, fault.status]).toEqual(['NO_PARENT', 1]);
  expect(fault.message).toContain('checksums');
  const second = await site.backup();
  expect(second).toMatchObject({ type: 'full', parent: first.label });
  expect(second).not.toHaveProperty('damagedPageCount');
  expect(await site.backup()).toMatchObject({ type: 'incremental', parent: second.label });
  await origin.stop();
  await origin.exec('pg_checksums', ['--enable', '-D', origin.data]);
  await origin.start();
  // The first one fits again by its state, and its pages have been rewritten under their old LSNs.
  const last = await site.backup();
  expect(last).toMatchObject({ type: 'full' });
  const { directory } = await site.restore(['--immediate', '--backup', last.label]);
  await origin.exec('pg_verifybackup', ['-n', directory]);
});

test('a page that the WAL of its backup brings back whole is not called damaged', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18, { settings: { autovacuum: false } });
  const { origin } = site;
  await origin.sql(`${FILLED} vacuum; checkpoint; select count(*) from big`);
  const path = await origin.sql("select pg_relation_filepath('big')");
  {
    // Behind the back of the server, which has the page in memory: as torn as one that is just being written.
    await using file = await open(join(origin.data, path), 'r+');
    await file.write(Buffer.from('damage'), 0, 6, 3 * 8192 + 4000);
  }
  const spoiled = await backUp(site, { from: 'local' });
  expect(spoiled.record.damagedPages).toEqual([{ path, block: 3, relation: 'postgres: big' }]);
  const update = "update big set t = 'new' where ctid in (select ctid from big where ctid::text like '(3,%' limit 1)";
  const touched = await backUp(site, { from: 'local' }, (read) =>
    read === 'global/pg_control' ? origin.sql(update) : undefined,
  );
  expect(touched.record).toMatchObject({ damagedPages: [], damagedPageCount: 0 });
  expect(touched.told).not.toContain('damaged');
  const dump = await dumpAll(origin);
  await site.archiveAll();
  const cluster = await site.recover(['--latest', '--backup', touched.record.label]);
  expect(await dumpAll(cluster)).toBe(dump);
  await cluster.stop();
  await cluster.exec('pg_checksums', ['--check', '-D', cluster.data]);
});

test('a backup that is killed when it had stored much leaves it to the next one', async (context) => {
  await needs(context, 'postgres-18');
  // Between the two backups nobody sets hint bits.
  await using site = await Site.create(18, { settings: { autovacuum: 'off' } });
  const { origin } = site;
  // Hashes of hashes do not compress.
  await origin.sql('create table hashes as select sha512(i::text::bytea) as h from generate_series(1, 700000) i');
  await origin.sql('vacuum hashes');
  const killed = site.spawn(['backup', '--max-rate', '40MiB']);
  const packs = async (): Promise<number> =>
    (await site.objects('clusters/main/1/backups')).filter((key) => /pack-\d+$/.test(key)).length;
  await eventually(async () => expect(await packs()).toBeGreaterThan(0), 60_000);
  killed.child.kill('SIGKILL');
  expect((await killed.ended).status).toBe(137);
  const { status, stdout, stderr } = await site.keyframe(['backup']);
  expect([status, stderr]).toEqual([0, expect.stringContaining('took over content that backup')]);
  const { type, reusedBytes, parent } = JSON.parse(stdout) as BackupFacts;
  expect([type, parent]).toEqual(['full', undefined]);
  expect(reusedBytes).toBeGreaterThan(16 << 20);
  // It lies there still, and nothing more is taken from it.
  expect((await site.keyframe(['backup', '--type', 'full', '--no-reuse'])).stderr).not.toContain('took over');
  const dump = await dumpAll(origin);
  await site.archiveAll();
  expect(await dumpAll(await site.recover(['--latest']))).toBe(dump);
});

test('without checksums a page may lack hint bits, which is no fault of a restored copy', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18, { checksums: false, settings: { autovacuum: false } });
  const { origin } = site;
  await origin.sql(FILLED);
  const full = await site.backup();
  // Reading sets them, under the LSN of the insert.
  await origin.sql('select count(*) from big; checkpoint');
  const taken = await site.backup();
  expect(taken).toMatchObject({ type: 'incremental', method: 'stream', parent: full.label });
  expect(taken.storedBytes).toBeLessThan(1 << 20);
  const { directory } = await site.restore(['--immediate', '--backup', taken.label]);
  await origin.exec('pg_verifybackup', ['-n', directory]);
  const dump = await dumpAll(origin);
  await site.archiveAll();
  const cluster = await site.recover(['--latest']);
  expect(await dumpAll(cluster)).toBe(dump);
  await cluster.exec('pg_amcheck', ['--all', '--install-missing', '--heapallindexed']);
});

test('a server whose WAL summaries are gone is read page by page', async (context) => {
  await needs(context, 'postgres-17');
  await using site = await Site.create(17, { settings: { summarize_wal: true } });
  const { origin } = site;
  await origin.sql(FILLED);
  const full = await site.backup();
  await origin.sql('update big set t = md5(t) where i = 7; checkpoint');
  const summaries = join(origin.data, 'pg_wal', 'summaries');
  await eventually(async () => expect(await readdir(summaries)).not.toEqual([]));
  for (const name of await readdir(summaries)) await rm(join(summaries, name));
  const { status, stdout, stderr } = await site.keyframe(['backup', '--type', 'incremental']);
  expect([status, stderr]).toEqual([0, expect.stringContaining('reading all pages instead')]);
  expect(JSON.parse(stdout)).toMatchObject({ type: 'incremental', method: 'stream', parent: full.label });
  expect((await site.list()).backups).toHaveLength(2);
  expect((await site.list()).unfinished).toEqual([]);
});

test('after a promotion all pages are read, and compared with a backup from before it', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18, { settings: { summarize_wal: true } });
  const { origin } = site;
  await origin.sql(FILLED);
  const full = await site.backup();
  await origin.sql('update big set t = md5(t) where i = 7');
  expect(await site.backup()).toMatchObject({ method: 'stream-incremental', parent: full.label });
  await promote(site);
  await origin.sql('update big set t = md5(t) where i = 8');
  const { status, stdout, stderr } = await site.keyframe(['backup']);
  expect([status, JSON.parse(stdout).method, JSON.parse(stdout).type]).toEqual([0, 'stream', 'incremental']);
  expect(stderr).toContain('from timeline 1 to 2');
  expect(await site.backup()).toMatchObject({ method: 'stream-incremental', timeline: 2 });
  const dump = await dumpAll(origin);
  await site.archiveAll();
  expect(await dumpAll(await site.recover(['--latest']))).toBe(dump);
});

function once<Value>(work: () => Promise<Value>): () => Promise<Value> {
  let result: Promise<Value> | undefined;
  return () => (result ??= work());
}

/** Stops the origin and starts it as a standby of nobody, which is then promoted. */
async function promote({ origin }: Site): Promise<void> {
  await origin.stop();
  await writeFile(join(origin.data, 'standby.signal'), '');
  await origin.start();
  await origin.sql('select pg_promote()');
  await origin.waitPromoted();
}

describe.each(postgresMajors([14, 18]))('PostgreSQL %i', (major) => {
  test('is restored from increments that were taken while it was written to, and one that was killed', async (context) => {
    await needs(context, `postgres-${major}`);
    const settings = major >= 17 ? { summarize_wal: true } : {};
    await using site = await Site.create(major, { dataDirectory: true, settings });
    const { origin } = site;
    await origin.exec('pgbench', ['-i', '-s', '2', '-q', 'postgres']);
    const enough = new AbortController();
    const options = { signal: enough.signal };
    const load = origin.exec('pgbench', ['-n', '-c', '2', '-T', '300', 'postgres'], options).catch((error: unknown) => {
      if (!enough.signal.aborted) throw error;
    });
    await site.backup();
    await site.backup(['--from', 'local']);
    const killed = site.spawn(['backup', '--from', 'local', '--max-rate', '1MiB']);
    const underway = async (): Promise<void> => expect((await site.list()).unfinished).toHaveLength(1);
    await eventually(underway);
    await sleep(1000);
    killed.child.kill('SIGKILL');
    expect((await killed.ended).status).toBe(137);
    const next = await site.backup(['--type', 'incremental']);
    expect(next.type).toBe('incremental');
    enough.abort();
    await load;
    const last = await site.backup(['--from', 'local', '--type', 'incremental']);
    expect(last.parent).toBe(next.label);
    const dump = await dumpAll(origin);
    await site.archiveAll();
    for (const label of [next.label, last.label]) {
      const cluster = await site.recover(['--latest', '--backup', label]);
      expect(await dumpAll(cluster)).toBe(dump);
      await cluster.exec('pg_amcheck', ['--all', '--install-missing', '--heapallindexed']);
      await cluster.stop();
    }
  });
});
