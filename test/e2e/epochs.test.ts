import { Cluster, needs } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import type { BackupFacts, PlanFacts } from './support/reports.ts';
import { Site, switchWal } from './support/site.ts';

/** What pg_upgrade makes of a stopped cluster: the same databases, another system identifier. */
async function pgUpgrade(site: Site, upgraded: Cluster): Promise<void> {
  const { origin } = site;
  const from = ['--old-bindir', origin.bin, '--old-datadir', origin.data, '--old-port', String(origin.port)];
  const to = ['--new-bindir', upgraded.bin, '--new-datadir', upgraded.data, '--new-port', String(upgraded.port)];
  const cwd = await site.makeDirectory('upgrade');
  await upgraded.exec(
    'pg_upgrade',
    [...from, ...to, '--username', 'postgres', '--socketdir', cwd, '--no-sync', '--link'],
    { cwd },
  );
}

test('a cluster goes on after pg_upgrade in an epoch of its own, and moments before it are still recovered', async (context) => {
  await needs(context, 'postgres-15');
  await needs(context, 'postgres-18');
  await using site = await Site.create(15);
  const { origin } = site;
  await origin.sql("create table story as select 'old' as line");
  const old = await site.backup();
  await origin.sql("insert into story values ('last words')");
  const before = await origin.sql('select clock_timestamp()');
  const xid = await origin.sql(
    'with said as (insert into story values (null) returning 1) select pg_current_xact_id()',
  );
  await origin.sql("select pg_create_restore_point('before_upgrade')");
  await origin.sql("insert into story values ('never mind')");
  await site.archiveAll();
  const settings = { archive_mode: 'on', archive_command: await origin.sql('show archive_command') };
  await origin.stop();

  await using upgraded = await Cluster.create(18, { settings });
  await pgUpgrade(site, upgraded);
  await upgraded.start();
  await site.writeConfig({ walTimeout: '90s' }, upgraded.url);

  // To everybody but its owner it is another cluster now: nothing of it gets in unasked.
  const archived = await site.objects('clusters/');
  await switchWal(upgraded);
  const refused = 'select failed_count > 0, archived_count from pg_stat_archiver';
  await expect.poll(() => upgraded.sql(refused), { timeout: 60_000, interval: 200 }).toBe('t|0');
  expect(await site.fault(['backup'])).toMatchObject({ code: 'WRONG_CLUSTER', status: 1 });
  expect(await site.objects('clusters/')).toEqual(archived);
  const fresh = await site.report<BackupFacts>(['backup', '--new-epoch']);
  // Nothing of another system identifier is built on.
  expect(fresh).toMatchObject({ type: 'full', reusedBytes: 0 });
  expect(fresh).not.toHaveProperty('parent');
  await upgraded.sql("insert into story values ('new')");
  await site.archiveAll(upgraded, 90_000);
  expect((await site.list()).backups.map(({ label }) => label)).toEqual([old.label, fresh.label]);
  // Once begun, the epoch needs no word any more.
  expect(await site.backup()).toMatchObject({ type: 'incremental', parent: fresh.label });

  const now = await site.recover(['--latest']);
  expect(await now.sql("select string_agg(line, ',') from story where line is not null")).toBe(
    'old,last words,never mind,new',
  );
  // Whatever names a moment before the upgrade, the old epoch and the old major's programs bring it back.
  for (const target of [
    ['--time', before],
    ['--before-xid', xid],
    ['--name', 'before_upgrade', '--timeline', '1'],
  ]) {
    const { epoch, backup } = await site.report<PlanFacts & { readonly epoch: number }>(['plan', ...target]);
    expect([target, epoch, backup.label]).toEqual([target, 1, old.label]);
  }
  const then = await site.recover(['--name', 'before_upgrade']);
  expect(then.major).toBe(15);
  expect(await then.sql("select string_agg(line, ',') from story where line is not null")).toBe('old,last words');
});
