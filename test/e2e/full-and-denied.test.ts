import { access, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Cluster, mountSmall, needs, type SmallFileSystem } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { faultOf, run, SELF } from './support/keyframe.ts';
import { unprivileged, withMode } from './support/privileges.ts';
import { Site, switchWal } from './support/site.ts';

/** Fills a file system but for so many KiB. The returned path is what to remove. */
async function fill(disk: SmallFileSystem, leaveKiB: number, sizeKiB: number): Promise<string> {
  const path = join(disk.directory, 'ballast');
  await writeFile(path, Buffer.alloc((sizeKiB - leaveKiB) << 10, 1));
  return path;
}

const DISK_KIB = 24 << 10;

// Each of them waits for a store that does not recover, most of the time asleep.
describe.concurrent('a repository', () => {
  test('on a full disk takes no half backup and no half segment, and goes on when there is room', async (context) => {
    await needs(context, 'tmpfs');
    await using disk = await mountSmall(DISK_KIB);
    await using site = await Site.create(18, { walSegmentSizeMiB: 1, repository: join(disk.directory, 'repository') });
    await site.origin.sql('create table t as select i, md5(i::text) from generate_series(1, 20000) i');
    await site.archiveAll();
    const used = (await Promise.all((await site.objects()).map((key) => stat(join(site.repository, key))))).reduce(
      (sum, { size }) => sum + Math.ceil(size / 4096) * 4,
      0,
    );
    const ballast = await fill(disk, 700, DISK_KIB - used - 200);
    const pushed = await switchWal(site.origin);
    const [backup, push] = await Promise.all([
      site.keyframe(['backup']),
      run([SELF.archiveWrapper, SELF.node, SELF.main, '--config', site.config, '--', await uncompressible(site)]).ended,
    ]);
    const fault = faultOf(backup, 'backup');
    expect([fault.code, fault.status]).toEqual(['UNAVAILABLE', 1]);
    expect(fault.hint).toContain('df -h');
    expect(push.status).toBeGreaterThanOrEqual(1);
    expect(push.status).toBeLessThanOrEqual(125);
    expect((await site.list()).backups).toEqual([]);
    await rm(ballast);
    const { label } = await site.backup();
    expect((await site.list()).backups.map((each) => each.label)).toEqual([label]);
    await site.archiveAll();
    expect((await site.objects()).some((key) => key.endsWith(pushed))).toBe(true);
    const cluster = await site.recover(['--latest']);
    expect(await cluster.sql('select count(*) from t')).toBe('20000');
  });

  test('that is read-only takes nothing, and can still be restored from', async (context) => {
    await needs(context, 'tmpfs');
    await using disk = await mountSmall(64 << 10);
    await using site = await Site.create(18, { walSegmentSizeMiB: 1, repository: join(disk.directory, 'repository') });
    await site.origin.sql('create table t as select 1 as n');
    const { label } = await site.backup();
    await site.archiveAll();
    await disk.remount('ro');
    const fault = await site.fault(['backup']);
    expect([fault.code, fault.status]).toEqual(['ACCESS_DENIED', 1]);
    expect(fault.hint).toBeDefined();
    const segment = await switchWal(site.origin);
    const push = await site.fault(['wal', 'push', join(site.origin.data, 'pg_wal', segment)]);
    expect([push.code, push.status]).toEqual(['ACCESS_DENIED', 1]);
    expect((await site.list()).backups.map((each) => each.label)).toEqual([label]);
    const cluster = await site.recover(['--latest']);
    expect(await cluster.sql('select n from t')).toBe('1');
    await disk.remount('rw');
    await site.archiveAll();
    expect((await site.backup()).label).not.toBe(label);
  });

  test('that denies access is never taken for an empty one', async (context) => {
    await needs(context, 'unprivileged');
    await using site = await Site.create(18, { walSegmentSizeMiB: 1 });
    await site.backup();
    const prefix = unprivileged();
    const path = join(site.origin.data, 'pg_wal', await site.archiveAll());
    const commands = [['backup'], ['list'], ['plan', '--latest'], ['wal', 'push', path], ['wal', 'status']];
    for (const directory of ['', 'clusters/main', 'clusters/main/1/backups']) {
      await using _ = await withMode(join(site.repository, directory), 0);
      for (const words of directory === '' ? commands : commands.slice(1, 3)) {
        const fault = await site.fault(words, { prefix });
        expect([directory, words[0], fault.code, fault.status]).toEqual([directory, words[0], 'ACCESS_DENIED', 1]);
        expect(fault.hint).toMatch(/chown|chmod/);
      }
    }
    await using _ = await withMode(join(site.repository, 'clusters/main/1/backups'), 0o550);
    expect((await site.fault(['backup'], { prefix })).code).toBe('ACCESS_DENIED');
    expect((await site.list()).backups.length).toBe(1);
  });
});

describe('a target directory', () => {
  test('without room is left alone', async (context) => {
    await needs(context, 'tmpfs');
    await using disk = await mountSmall(8 << 10);
    await using site = await Site.create(18);
    await site.backup();
    const to = join(disk.directory, 'restored');
    const fault = await site.fault(['restore', '--immediate', '--to', to]);
    expect([fault.code, fault.status]).toEqual(['DISK_FULL', 1]);
    await expect(access(to)).rejects.toThrow('ENOENT');
  });

  test('whose disk runs full midway cannot be started, and the same restore goes through when there is room', async (context) => {
    await needs(context, 'tmpfs');
    await using disk = await mountSmall(8 << 10);
    await using site = await Site.create(18);
    const place = await site.makeDirectory('space');
    await site.origin.sql(`create tablespace space location '${place}'`);
    await site.origin.sql(
      'create table t tablespace space as select i, md5(i::text) from generate_series(1, 300000) i',
    );
    await site.backup();
    const to = site.freshPath();
    const restore = ['restore', '--immediate', '--to', to, '--tablespace', `${place}=${join(disk.directory, 'space')}`];
    const fault = await site.fault(restore);
    expect([fault.code, fault.status]).toEqual(['DISK_FULL', 1]);
    expect(await exists(join(to, 'global/pg_control'))).toBe(false);
    await disk.resize(64 << 10);
    await site.report(restore);
    await using cluster = await Cluster.attach(to);
    await cluster.start();
    await cluster.waitPromoted();
    expect(await cluster.sql('select count(*) from t')).toBe('300000');
  });

  test('that may not be written is refused', async (context) => {
    await needs(context, 'unprivileged');
    await using site = await Site.create(18);
    await site.backup();
    const parent = await site.makeDirectory('parent');
    await using _ = await withMode(parent, 0o500);
    const fault = await site.fault(['restore', '--immediate', '--to', join(parent, 'restored')], {
      prefix: unprivileged(),
    });
    expect([fault.code, fault.status]).toEqual(['ACCESS_DENIED', 1]);
  });
});

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** The path of a whole segment, full of what no codec makes smaller. */
async function uncompressible(site: Site): Promise<string> {
  await site.origin.sql(
    'create extension pgcrypto; create table noise as select gen_random_bytes(1000) from generate_series(1, 3000)',
  );
  const segment = await site.origin.sql('select pg_walfile_name(pg_current_wal_lsn() - (1 << 20))');
  await switchWal(site.origin);
  return join(site.origin.data, 'pg_wal', segment);
}
