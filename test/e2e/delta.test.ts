import {
  access,
  appendFile,
  cp,
  link,
  mkdir,
  open,
  readdir,
  readFile,
  stat,
  truncate,
  utimes,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { Cluster, needs, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { dumpAll } from './support/dump.ts';
import type { RestoreFacts } from './support/reports.ts';
import { eventually } from './support/servers.ts';
import { Site } from './support/site.ts';

/** A page of the table that no statement touches. */
const DECAYED_PAGE = 700;
const pageOf = (file: Buffer): Buffer => file.subarray(8192 * DECAYED_PAGE, 8192 * (DECAYED_PAGE + 1));
const MARKER = '.keyframe-restore-incomplete';

interface DeltaFacts extends RestoreFacts {
  readonly keptBytes: number;
  readonly requests: number;
}

const delta = (site: Site, to: string, args: readonly string[] = ['--latest']): Promise<DeltaFacts> =>
  site.report<DeltaFacts>(['restore', ...args, '--to', to, '--delta', '--no-sync']);

/** A table of which one row in so many thousands is changed, and its file. */
async function fill(site: Site): Promise<string> {
  await site.origin.sql(`create table big as select i, md5(i::text) as t from generate_series(1, 300000) i`);
  await site.origin.sql('create table small as select i from generate_series(1, 100) i');
  await site.origin.sql('vacuum; checkpoint');
  return site.origin.sql("select pg_relation_filepath('big')");
}

/** The server comes up from the directory with exactly what the origin holds. */
async function expectRecovered(site: Site, directory: string, expected: string): Promise<Cluster> {
  const restored = await site.attach(directory);
  await restored.start();
  await restored.waitPromoted();
  expect(await dumpAll(restored)).toBe(expected);
  return restored;
}

describe.each(postgresMajors([14, 17]))('restore --delta of PostgreSQL %i', (major) => {
  test('makes an old data directory equal to the backup, whatever was done to it', async (context) => {
    await needs(context, `postgres-${major}`);
    await using site = await Site.create(major, { walSegmentSizeMiB: 1 });
    const { origin } = site;
    const path = await fill(site);
    const { sizeBytes } = await site.backup();
    // A data directory as it was a while ago, shut down in order.
    const old = site.freshPath('old');
    await site.restore(['--immediate'], old);
    const was = await site.attach(old);
    await was.start();
    await was.waitPromoted();
    await was.sql('create table theirs as select i from generate_series(1, 50000) i');
    await was.stop();

    await origin.sql('update big set t = md5(t) where i % 30000 = 0');
    const backup = await site.backup();
    await origin.sql('insert into small select generate_series(101, 200)');
    const expected = await dumpAll(origin);
    await site.archiveAll();

    // Its server has its own history, its own files, and a page that decayed without a trace in size or time.
    const table = join(old, path);
    const [before, pristine] = [await stat(table), await readFile(table)];
    const handle = await open(table, 'r+');
    await handle.write(Buffer.from('decay'), 0, 5, 8192 * DECAYED_PAGE + 4000);
    await handle.close();
    await utimes(table, before.atime, before.mtime);
    await truncate(join(old, 'base/1/1255'), 8192);
    await appendFile(join(old, 'global/1262'), Buffer.alloc(8192, 1));
    await writeFile(join(old, 'base/1/99999'), 'foreign');
    await mkdir(join(old, 'log'));
    await writeFile(join(old, 'log/postgresql.log'), 'foreign');
    await writeFile(join(old, 'standby.signal'), '');
    const aside = join(site.directory, 'aside');
    await link(join(old, 'PG_VERSION'), aside);

    const restored = await delta(site, old, ['--latest', '--backup', backup.label]);
    expect(restored.bytes).toBeGreaterThan(sizeBytes * 0.9);
    expect(restored.keptBytes / restored.bytes).toBeGreaterThan(0.8);
    expect(restored.keptBytes).toBeLessThan(restored.bytes);
    expect(pageOf(await readFile(table)).equals(pageOf(pristine))).toBe(true);
    expect(await readdir(old)).not.toContain('log');
    expect(await readdir(old)).not.toContain(MARKER);
    await expect(access(join(old, 'base/1/99999'))).rejects.toThrow('ENOENT');
    expect((await readdir(join(old, 'pg_wal'))).filter((name) => name !== 'summaries')).toEqual(['archive_status']);
    await origin.exec('pg_verifybackup', ['-n', '--ignore=postgresql.auto.conf', '--ignore=recovery.signal', old]);
    await origin.stop('immediate');
    const server = await expectRecovered(site, old, expected);
    await server.stop();
    await server.exec('pg_checksums', ['--check', '-D', old]);
  });
});

describe.each(postgresMajors([18]))('restore --delta, PostgreSQL %i', (major) => {
  test('killed midway leaves nothing that starts, and goes on where it was', async (context) => {
    await needs(context, `postgres-${major}`);
    await using site = await Site.create(major, { walSegmentSizeMiB: 1 });
    const { origin } = site;
    await fill(site);
    await site.backup();
    const expected = await dumpAll(origin);
    await site.archiveAll();
    const to = site.freshPath();
    // Into an empty directory first: what an interrupted restore wrote is as good as an old data directory.
    const first = site.spawn(['restore', '--latest', '--to', to, '--no-sync']);
    await eventually(async () => expect((await readdir(join(to, 'base/1'))).length).toBeGreaterThan(20));
    first.child.kill('SIGKILL');
    await first.ended;
    expect(await readdir(to)).toContain(MARKER);
    for (const stage of [join(to, MARKER), join(to, 'pg_wal/archive_status'), join(to, 'recovery.signal')]) {
      const again = site.spawn(['restore', '--latest', '--to', to, '--delta']);
      await eventually(() => access(stage));
      again.child.kill('SIGKILL');
      if ((await again.ended).status === 0) break;
      await expect(access(join(to, 'global/pg_control'))).rejects.toThrow('ENOENT');
    }
    const whole = await delta(site, to);
    expect(whole.keptBytes / whole.bytes).toBeGreaterThan(0.2);
    const again = await delta(site, to);
    expect(again.keptBytes / again.bytes).toBeGreaterThan(0.95);
    await origin.stop('immediate');
    await expectRecovered(site, to, expected);
  });

  test('takes up tablespaces where they are, and only there', async (context) => {
    await needs(context, `postgres-${major}`);
    await using site = await Site.create(major, { walSegmentSizeMiB: 1 });
    const { origin } = site;
    const space = await site.makeDirectory('space');
    await origin.sql(`create tablespace one location '${space}'`);
    await origin.sql('create table there tablespace one as select i from generate_series(1, 100000) i');
    await site.backup();
    await origin.sql('delete from there where i % 1000 = 0');
    const expected = await dumpAll(origin);
    await site.archiveAll();
    await origin.stop();
    // The place of the origin itself, whose last transactions are all archived.
    const restored = await delta(site, origin.data);
    expect(Object.values(restored.tablespaces)).toEqual([space]);
    expect(restored.keptBytes / restored.bytes).toBeGreaterThan(0.8);
    const server = await expectRecovered(site, origin.data, expected);
    await server.stop();

    await mkdir(join(space, 'PG_9.6_201608131'));
    expect(await site.fault(['restore', '--latest', '--to', origin.data, '--delta'])).toMatchObject({
      code: 'TARGET_DIRECTORY',
      details: { foreign: 'PG_9.6_201608131' },
    });
    const elsewhere = site.freshPath();
    await cp(space, elsewhere, { recursive: true });
    const args = ['--latest', '--to', origin.data, '--delta', '--tablespace', `${space}=${elsewhere}`];
    expect(await site.fault(['restore', ...args])).toMatchObject({ code: 'TARGET_DIRECTORY' });
    await access(join(origin.data, 'global/pg_control'));
  });

  test('refuses what is not a stopped data directory of this cluster', async (context) => {
    await needs(context, `postgres-${major}`);
    await using site = await Site.create(major, { walSegmentSizeMiB: 1 });
    await using other = await Cluster.create(major);
    await site.backup();
    await site.archiveAll();
    const refused = async (to: string, words: string, more: readonly string[] = []): Promise<void> => {
      const before = await readdir(to);
      const fault = await site.fault(['restore', '--latest', '--to', to, '--delta', ...more]);
      expect(fault.message).toContain(words);
      expect(fault.code).toBe(more.length > 0 ? 'INVALID_OPTION' : 'TARGET_DIRECTORY');
      expect(await readdir(to)).toEqual(before);
    };
    await refused(other.data, 'data directory of another cluster');
    await refused(site.origin.data, 'server is running');
    await refused(other.data, 'exclude each other', ['--force']);
    const letters = await site.makeDirectory('letters');
    await writeFile(join(letters, 'letter'), 'to keep');
    await refused(letters, 'is not empty');
    // Nothing there is nothing to reuse.
    const { keptBytes, bytes } = await delta(site, site.freshPath());
    expect([keptBytes, bytes > 0]).toEqual([0, true]);
  });
});
