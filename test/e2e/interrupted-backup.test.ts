import { setTimeout as sleep } from 'node:timers/promises';
import { needs, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { faultOf, type Running } from './support/keyframe.ts';
import { eventually } from './support/servers.ts';
import { Site } from './support/site.ts';

/** A backup that will not end by itself within the test. */
async function startSlowBackup(site: Site): Promise<Running> {
  const running = site.spawn(['backup', '--max-rate', '64KiB']);
  const streaming = "select count(*) from pg_stat_progress_basebackup where phase = 'streaming database files'";
  await eventually(async () => expect(await site.origin.sql(streaming)).toBe('1'));
  return running;
}

describe.each(postgresMajors([14, 18]))('a backup of PostgreSQL %i', (major) => {
  test('refuses to run beside another one, and names who runs', async (context) => {
    await needs(context, `postgres-${major}`);
    await using site = await Site.create(major);
    const first = await startSlowBackup(site);
    const fault = faultOf(await site.keyframe(['backup']), 'backup');
    expect([fault.code, fault.status]).toEqual(['LOCKED', 5]);
    expect(fault.message).toContain(String(first.pid));
    expect(fault.hint).toContain(String(first.pid));
    first.child.kill('SIGINT');
    const { status, stdout } = await first.ended;
    expect(status).toBe(130);
    expect(JSON.parse(stdout)).toMatchObject({ error: { message: 'interrupted by SIGINT' } });
    // The lease is given back, nothing is listed, nothing half is left, and the server has ended its side.
    expect(await site.list()).toMatchObject({ backups: [], unfinished: [] });
    expect(await site.objects('clusters/main/1/backups')).toEqual([]);
    await eventually(async () =>
      expect(await site.origin.sql('select count(*) from pg_stat_progress_basebackup')).toBe('0'),
    );
    const { label } = await site.backup();
    expect((await site.list()).backups.map((each) => each.label)).toEqual([label]);
  });

  test('that is terminated while it waits for WAL gives back its lease too', async (context) => {
    await needs(context, `postgres-${major}`);
    await using site = await Site.create(major, { settings: { archive_command: 'false' } });
    const waiting = site.spawn(['backup']);
    const manifest = async (): Promise<void> =>
      expect(await site.objects('clusters/main/1/backups')).toContainEqual(expect.stringMatching(/manifest$/));
    await eventually(manifest);
    await sleep(300);
    waiting.child.kill('SIGTERM');
    expect((await waiting.ended).status).toBe(143);
    expect(await site.list()).toMatchObject({ backups: [], unfinished: [] });
    await site.writeConfig({ walTimeout: '1s' });
    expect((await site.fault(['backup'])).code).toBe('BACKUP_WAL_MISSING');
  });
});

test('a backup that was killed midway is taken over by the next one, which can be restored', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18);
  const hashes = ['i', 'i + 1e6', 'i + 2e6', 'i + 3e6']
    .map((each) => `decode(md5((${each})::text), 'hex')`)
    .join(' || ');
  await site.origin.sql(`create table random as select i, ${hashes} as noise from generate_series(1, 700000) i`);
  await site.origin.sql('vacuum freeze random');
  await site.origin.sql('checkpoint');
  const running = site.spawn(['backup', '--max-rate', '16MiB']);
  const stored = async (): Promise<number> => (await site.list()).unfinished[0]?.storedBytes ?? 0;
  await eventually(async () => expect(await stored()).toBeGreaterThan(32 << 20));
  running.child.kill('SIGKILL');
  expect((await running.ended).status).toBe(137);
  const { label, reusedBytes, storedBytes } = await site.backup();
  expect(reusedBytes).toBeGreaterThan(32 << 20);
  expect(storedBytes).toBeGreaterThan(0);
  const checksum = "select count(*) || ' ' || md5(string_agg(md5(noise), '' order by i)) from random";
  const recovered = await site.recover(['--immediate', '--backup', label]);
  expect(await recovered.sql(checksum)).toBe(await site.origin.sql(checksum));
});
