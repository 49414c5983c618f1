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
