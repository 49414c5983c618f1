import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isHolderAlive, takeBackup, thisProcess } from '@keyframe/engine';
import { resolveConnection } from '@keyframe/postgres';
import { needs } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import { faultOf, type Running } from './support/keyframe.ts';
import { repositoryAt } from './support/repository.ts';
import { eventually } from './support/servers.ts';
import { Site } from './support/site.ts';

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

/** Starts a backup that lasts a while, and waits for that state of it on the server. */
async function startBackup(site: Site, args: readonly string[], phase: string): Promise<Running> {
  const running = site.spawn(['backup', ...args]);
  site.defer(() => void running.child.kill('SIGKILL'));
  const seen = `select count(*) from pg_stat_progress_basebackup where phase = '${phase}'`;
  await eventually(async () => expect(await site.origin.sql(seen)).toBe('1'));
  return running;
}

const labels = async (site: Site): Promise<string[]> => (await site.list()).backups.map(({ label }) => label);

test('a backup that is terminated while the server still writes its checkpoint ends at once, and the next one runs', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18);
  await site.origin.sql('create table dirty as select generate_series(1, 200000)');
  const running = await startBackup(site, ['--checkpoint', 'spread'], 'waiting for checkpoint to finish');
  const asked = performance.now();
  running.child.kill('SIGTERM');
  const { status, stdout } = await running.ended;
  expect(performance.now() - asked).toBeLessThan(5000);
  expect([status, JSON.parse(stdout)]).toMatchObject([143, { error: { message: 'interrupted by SIGTERM' } }]);
  expect(await site.list()).toMatchObject({ backups: [], unfinished: [] });
  const { label } = await site.backup();
  expect(await labels(site)).toEqual([label]);
});

test('a backup that is killed keeps nobody out; what it left is told and not listed, and goes with the next one', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18);
  const killed = await startBackup(site, ['--max-rate', '64KiB'], 'streaming database files');
  killed.child.kill('SIGKILL');
  expect((await killed.ended).status).toBe(137);
  const { backups, unfinished } = await site.list();
  expect([backups.length, unfinished.length]).toEqual([0, 1]);
  const { label } = await site.backup();
  expect(await site.list()).toMatchObject({ backups: [{ label }], unfinished: [] });
  const left = new Set((await site.objects('clusters/main/1/backups/')).map((key) => key.split('/')[4]));
  expect([...left]).toEqual([label]);
});

test('a backup that was suspended past the end of its lease is not published once another has taken over', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18);
  const sleeper = await startBackup(site, ['--max-rate', '4MiB'], 'streaming database files');
  sleeper.child.kill('SIGSTOP');
  expect((await site.fault(['backup'])).message).toContain(`${sleeper.pid}`);

  // For a clock that is three minutes on, the sleeper has not renewed its lease in time.
  const now = (): Date => new Date(Date.now() + 180_000);
  const repository = repositoryAt(site.repository, now);
  const taken = await takeBackup(
    {
      repository,
      clusterName: 'main',
      history: repository.cluster('main'),
      target: await resolveConnection(site.origin.url, {}),
      holder: { ...(await thisProcess('keyframe backup')), command: 'the one that took over' },
      isHolderAlive,
      now,
      walTimeoutMs: 60_000,
      tool: 'keyframe test',
    },
    { checkpoint: 'fast' },
  );
  expect(await labels(site)).toEqual([taken.label]);

  sleeper.child.kill('SIGCONT');
  const fault = faultOf(await sleeper.ended, 'backup');
  expect([fault.code, fault.status]).toEqual(['LOCKED', 5]);
  expect(await site.list()).toMatchObject({ backups: [{ label: taken.label }], unfinished: [] });
  const next = await site.backup();
  expect(await labels(site)).toContain(next.label);
});

test('a restore that is interrupted or terminated leaves nothing that starts, and runs again', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18);
  await site.origin.sql('create table kept as select 1 as n');
  await site.backup();
  await site.archiveAll();
  const last = site.freshPath('interrupted');
  for (const [signal, expected, to] of [
    ['SIGINT', 130, site.freshPath('interrupted')] as const,
    ['SIGTERM', 143, last] as const,
  ]) {
    const command = ['restore', '--latest', '--to', to];
    const running = site.spawn(command);
    site.defer(() => void running.child.kill('SIGKILL'));
    for (const patience = performance.now() + 60_000; !(await exists(join(to, 'global'))); await sleep(2))
      expect(performance.now()).toBeLessThan(patience);
    running.child.kill('SIGSTOP');
    // Two in one directory would leave a mixture.
    expect(await site.fault(command)).toMatchObject({ code: 'TARGET_DIRECTORY', details: { pid: running.pid } });
    running.child.kill(signal);
    running.child.kill('SIGCONT');
    const { status, stdout } = await running.ended;
    expect([status, JSON.parse(stdout)]).toMatchObject([expected, { error: { message: `interrupted by ${signal}` } }]);
    expect(await exists(join(to, 'global', 'pg_control'))).toBe(false);
  }
  await site.restore(['--latest'], last);
  const cluster = await site.attach(last);
  await cluster.start();
  await cluster.waitPromoted();
  expect(await cluster.sql('select n from kept')).toBe('1');
});
