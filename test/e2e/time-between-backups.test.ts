import { setTimeout as sleep } from 'node:timers/promises';
import { needs, type Cluster } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import type { PlanFacts } from './support/reports.ts';
import { Site } from './support/site.ts';

async function momentOf(cluster: Cluster): Promise<string> {
  await sleep(10);
  const moment = await cluster.sql('select clock_timestamp()');
  await sleep(10);
  return moment;
}

test('a time before the newest backup is recovered from an older one, whatever came after the newest', async (context) => {
  await needs(context, 'postgres-17');
  await using site = await Site.create(17, { settings: { autovacuum: 'off' } });
  const { origin } = site;
  const tooEarly = await momentOf(origin);
  await origin.sql('create table kept (id int)');
  const first = await site.backup();
  await origin.sql('insert into kept values (1)');
  const wanted = await momentOf(origin);
  await origin.sql('delete from kept');
  const quiet = await momentOf(origin);
  const second = await site.backup();
  await site.archiveAll();

  // Nothing was committed after the newest backup.
  const plan = (time: string): Promise<PlanFacts> => site.report(['plan', '--time', time]);
  expect((await plan(wanted)).backup.label).toBe(first.label);
  expect(await site.fault(['plan', '--time', quiet])).toMatchObject({ code: 'TARGET_UNREACHABLE' });

  // PostgreSQL would stop there too, with everything in it that the backup holds.
  await origin.sql('insert into kept values (2)');
  await site.archiveAll();
  expect((await plan(wanted)).backup.label).toBe(first.label);
  expect((await plan(quiet)).backup.label).toBe(first.label);
  expect(await site.fault(['plan', '--time', wanted, '--backup', second.label])).toMatchObject({
    code: 'TARGET_BEFORE_BACKUP',
  });
  expect(await site.fault(['plan', '--time', tooEarly])).toMatchObject({ code: 'TARGET_BEFORE_BACKUP' });
  const copy = await site.recover(['--time', wanted]);
  expect(await copy.sql('select * from kept')).toBe('1');
});
