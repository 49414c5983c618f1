import { join } from 'node:path';
import { Cluster, needs } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import type { BackupFacts } from './support/reports.ts';
import { SELF } from './support/keyframe.ts';
import { Site } from './support/site.ts';

/** pg_upgrade gives a cluster another system identifier: to everybody but its owner it is another cluster. */
test('after pg_upgrade a cluster begins its next epoch by an explicit word, and both epochs are recovered from', async (context) => {
  await needs(context, 'postgres-18');
  await needs(context, 'postgres-17');
  await using site = await Site.create(17);
  await site.origin.sql("create table story as select 'old' as line");
  const old = await site.backup();
  await site.origin.sql("insert into story values ('last words')");
  const early = await site.origin.sql('select clock_timestamp()');
  await site.origin.sql('create table later ()');
  await site.archiveAll();
  await site.origin.stop();

  const command = `${SELF.archiveWrapper} ${SELF.node} ${SELF.main} --config ${site.config} -- %p`;
  await using upgraded = await Cluster.create(18, { settings: { archive_mode: 'on', archive_command: command } });
  await upgraded.start();
  await upgraded.sql("create table story as select 'upgraded' as line");
  const config = join(site.directory, 'upgraded.yaml');
  await site.writeConfig({ walTimeout: '90s' }, upgraded.url, config);
  expect((await site.fault(['backup'], { config })).code).toBe('WRONG_CLUSTER');
  const before = await site.objects('clusters');
  // Its archiver is refused as well, and has nothing of its own in the repository.
  await upgraded.sql('select pg_switch_wal()');
  await expect
    .poll(() => upgraded.sql('select failed_count > 0 from pg_stat_archiver'), { timeout: 30_000, interval: 200 })
    .toBe('t');
  expect(await site.objects('clusters')).toEqual(before);

  const fresh = await site.report<BackupFacts>(['backup', '--new-epoch'], { config });
  expect((await site.list()).backups.map(({ label }) => label)).toEqual([old.label, fresh.label]);
  await site.archiveAll(upgraded, 90_000);
  const now = await site.recover(['--latest']);
  expect(await now.sql('select string_agg(line, $$,$$) from story')).toBe('upgraded');
  const then = await site.recover(['--time', early]);
  expect(await then.sql('select string_agg(line, $$,$$) from story')).toBe('old,last words');
});
