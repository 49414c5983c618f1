import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Cluster, needs } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { faultOf } from './support/keyframe.ts';
import type { BackupFacts } from './support/reports.ts';
import { eventually } from './support/servers.ts';
import { Site, switchWal } from './support/site.ts';

/** A base backup of a standby relieves the primary, which alone archives, and alone can end a WAL segment. */
describe('a backup of a standby', () => {
  let site: Site;
  let standby: Cluster;
  let config: string;
  const stack = new AsyncDisposableStack();

  beforeAll(async () => {
    site = stack.use(await Site.create(18));
    const { origin } = site;
    await origin.sql("create table story as select 'before' as line");
    const data = site.freshPath('standby');
    await origin.exec('pg_basebackup', ['-D', data, '-X', 'stream', '-c', 'fast', '--no-sync']);
    await writeFile(join(data, 'standby.signal'), '');
    const source = `primary_conninfo = 'host=${origin.socketDirectory} port=${origin.port} user=postgres'\n`;
    await appendFile(join(data, 'postgresql.auto.conf'), source);
    standby = await site.attach(data);
    await standby.start();
    config = join(site.directory, 'standby.yaml');
    await site.writeConfig({ walTimeout: '60s' }, standby.url, config);
  });
  afterAll(() => stack.disposeAsync());

  test('is published once the primary has archived its WAL, and is recovered from', async (context) => {
    await needs(context, 'postgres-18');
    const running = site.report<BackupFacts>(['backup'], { config });
    // The standby cannot switch WAL, and its primary is idle.
    const switching = setInterval(() => void switchWal(site.origin).catch(() => undefined), 1000);
    const { label } = await running.finally(() => clearInterval(switching));
    await site.origin.sql("insert into story values ('after')");
    await site.archiveAll();
    const cluster = await site.recover(['--latest', '--backup', label]);
    expect(await cluster.sql("select string_agg(line, ' ' order by line desc) from story")).toBe('before after');
    await cluster.stop();
  });

  test('says what keeps it from being published while the primary is idle', async () => {
    await site.writeConfig({ walTimeout: '3s' }, standby.url, config);
    const before = (await site.list()).backups;
    await site.archiveAll();
    // Its stop LSN lies in a segment that nobody ends.
    await site.origin.sql("insert into story values ('idle'); checkpoint");
    const fault = await site.fault(['backup'], { config });
    expect(fault).toMatchObject({ code: 'BACKUP_WAL_MISSING', status: 1 });
    expect(fault.message).toContain('during recovery');
    expect(fault.hint).toContain('pg_switch_wal');
    expect((await site.list()).backups).toEqual(before);
  });

  test('that is promoted meanwhile ends with a typed error and is not listed', async () => {
    const before = (await site.list()).backups;
    const running = site.spawn(['backup', '--max-rate', '256KiB'], { config });
    site.defer(() => void running.child.kill('SIGKILL'));
    const phase = "select count(*) from pg_stat_progress_basebackup where phase = 'streaming database files'";
    await eventually(async () => expect(await standby.sql(phase)).toBe('1'));
    await standby.sql('select pg_promote()');
    const fault = faultOf(await running.ended, 'backup');
    expect(fault).toMatchObject({ code: 'SERVER_ERROR', status: 1 });
    expect(fault.message).toContain('promoted');
    expect(await site.list()).toMatchObject({ backups: before, unfinished: [] });
  });
});
