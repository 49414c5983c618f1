import { appendFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cluster, needs, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import type { AdoptFacts, BackupFacts, PlanFacts } from './support/reports.ts';
import { Site, switchWal } from './support/site.ts';

interface TimelineTree {
  readonly newest: number;
  readonly timelines: readonly {
    readonly timeline: number;
    readonly fork?: { readonly from: number; readonly lsn: string };
    readonly backups: readonly unknown[];
    readonly reach?: { readonly backup: string };
  }[];
}

const WRITTEN_MODE = "select setting from pg_file_settings where name = 'archive_mode' order by seqno desc limit 1";

const insert = (cluster: Cluster, text: string): Promise<string> =>
  cluster.sql(`insert into story values ('${text}') returning text`);
const told = async (cluster: Cluster): Promise<string> =>
  cluster.sql("select string_agg(text, ' ' order by at) from story");
const timelineOf = (cluster: Cluster): Promise<string> =>
  cluster.sql('select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)');

/** A moment after everything that was committed and before everything that will be. */
async function momentOf(cluster: Cluster): Promise<string> {
  await sleep(10);
  const moment = await cluster.sql('select clock_timestamp()');
  await sleep(10);
  return moment;
}

async function startStory(site: Site): Promise<void> {
  await site.origin.sql('create table story (text text, at timestamptz default clock_timestamp())');
  await insert(site.origin, 'common');
  await site.backup();
}

/** Commands for a restored cluster, which has a config file of its own. */
async function commandsOf(site: Site, copy: Cluster, name: string) {
  const config = join(site.directory, `${name}.yaml`);
  await site.writeConfig({}, copy.url, config);
  const words = ['adopt', '--data-directory', copy.data];
  return {
    adopt: () => site.report<AdoptFacts>(words, { config }),
    refusedAdopt: () => site.fault(words, { config }),
    backup: () => site.report<BackupFacts>(['backup'], { config }),
  };
}

// The torture test tells such a story of every other major; the rest of this file is of 18.
describe.each(postgresMajors([14]))('PostgreSQL %i', (major) => {
  test('a recovered cluster becomes the continuation by adoption alone, and both branches stay recoverable', async (context) => {
    await needs(context, `postgres-${major}`);
    await using site = await Site.create(major);
    const { origin } = site;
    await startStory(site);
    const fork = await momentOf(origin);
    // The old primary goes on all the while.
    await insert(origin, 'old1');
    await site.archiveAll();

    const copy = await site.recover(['--time', fork]);
    expect(await told(copy)).toBe('common');
    expect(await copy.sql('show archive_mode')).toBe('off');
    expect(await timelineOf(copy)).toBe('00000002');
    await insert(copy, 'new1');
    const unarchived = await switchWal(copy);
    await insert(copy, 'new2');
    await insert(origin, 'old2');
    await site.archiveAll();
    expect((await site.objects('clusters/main/1/wal/')).filter((key) => key.includes('wal/00000002'))).toEqual([]);

    const { adopt, backup } = await commandsOf(site, copy, 'copy');
    const adopted = await adopt();
    expect(adopted).toMatchObject({ outcome: 'adopted', timeline: 2, forkedFrom: 1, needsRestart: true });
    expect(adopted.pushed).toEqual([unarchived]);
    await insert(copy, 'new3');
    const between = await switchWal(copy);
    await copy.restart();
    expect(await copy.sql('show archive_mode')).toBe('on');
    const again = await adopt();
    expect(again).toMatchObject({ outcome: 'already-adopted', timeline: 2, needsRestart: false });
    expect(again.pushed).toContain(between);
    expect(again.gapFrom).toBeUndefined();

    const beforeBackup = await momentOf(copy);
    await insert(copy, 'new4');
    await site.archiveAll(copy);
    const second = await backup();
    expect(second.timeline).toBe(2);
    await insert(copy, 'new5');
    const late = await momentOf(copy);
    await insert(copy, 'new6');
    await site.archiveAll(copy);
    await insert(origin, 'old3');
    const lateOld = await momentOf(origin);
    await insert(origin, 'old4');
    await site.archiveAll();

    const tree = await site.report<TimelineTree>(['wal', 'timelines']);
    expect(tree.newest).toBe(2);
    expect(tree.timelines.map(({ timeline, backups }) => [timeline, backups.length])).toEqual([
      [1, 1],
      [2, 1],
    ]);
    expect(tree.timelines[1]?.fork).toMatchObject({ from: 1, lsn: adopted.forkedAt });
    expect(tree.timelines[1]?.reach).toEqual({ backup: second.label });
    expect(await site.text(['wal', 'timelines'])).toMatch(/^├─● .*-full/m);
    expect(await site.text(['wal', 'timelines'])).toMatch(/^└─timeline 2 \(followed by default\)/m);

    // The newest timeline is the default; what the old server wrote meanwhile is not on it.
    const [newest, , old] = await Promise.all([
      recoverStory(site, ['--time', late], { timeline: 2, story: 'common new1 new2 new3 new4 new5' }),
      recoverStory(site, ['--time', beforeBackup], { timeline: 2, story: 'common new1 new2 new3' }),
      recoverStory(site, ['--time', lateOld, '--timeline', '1'], { timeline: 1, story: 'common old1 old2 old3' }),
    ]);
    expect(newest.plan.backup.label).toBe(second.label);
    // Timeline 2 is taken, so this recovery becomes the third.
    expect(await timelineOf(old.cluster)).toBe('00000003');
  });
});

async function recoverStory(
  site: Site,
  args: readonly string[],
  expected: { readonly timeline: number; readonly story: string },
): Promise<{ readonly cluster: Cluster; readonly plan: PlanFacts }> {
  const { directory, plan } = await site.restore(args);
  const cluster = await site.attach(directory);
  await cluster.start();
  await cluster.waitPromoted();
  expect({ timeline: plan.timeline, story: await told(cluster) }).toEqual(expected);
  return { cluster, plan };
}

test('of several copies promoted to one timeline a single one is adopted; restored again, another gets the next', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18);
  await startStory(site);
  const early = await momentOf(site.origin);
  await insert(site.origin, 'later');
  await insert(site.origin, 'latest');
  await site.archiveAll();
  // The same command twice gives the same history file twice; another moment gives another.
  const [first, twin, other] = await Promise.all([
    site.recover(['--time', early]),
    site.recover(['--time', early]),
    site.recover(['--latest']),
  ]);
  expect(await Promise.all([first, twin, other].map(timelineOf))).toEqual(['00000002', '00000002', '00000002']);

  expect(await (await commandsOf(site, first, 'first')).adopt()).toMatchObject({ outcome: 'adopted', timeline: 2 });
  const before = await site.objects();
  for (const [name, copy] of Object.entries({ twin, other })) {
    await insert(copy, name);
    await switchWal(copy);
    const fault = await (await commandsOf(site, copy, name)).refusedAdopt();
    expect([name, fault.code, fault.status]).toEqual([name, 'WRONG_TIMELINE', 1]);
    expect(fault.hint).toContain('keyframe restore');
    // So it stays after a restart, too.
    expect(await copy.sql(WRITTEN_MODE)).toBe('off');
  }
  expect(await site.objects()).toEqual(before);

  await twin.stop();
  await site.restore(['--time', early, '--timeline', '1', '--force'], twin.data);
  await twin.start();
  await twin.waitPromoted();
  expect(await timelineOf(twin)).toBe('00000003');
  const { adopt } = await commandsOf(site, twin, 'twin');
  expect(await adopt()).toMatchObject({ outcome: 'adopted', timeline: 3, forkedFrom: 1 });
  await twin.restart();
  await insert(twin, 'third');
  await site.archiveAll(twin);
  await recoverStory(site, ['--latest'], { timeline: 3, story: 'common third' });
});

test('a standby that archives too pushes what its primary pushes, and goes on when it is promoted', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await Site.create(18, { settings: { archive_mode: 'always' } });
  const { origin } = site;
  await startStory(site);
  const data = site.freshPath('standby');
  await origin.exec('pg_basebackup', ['-D', data, '-X', 'stream', '-c', 'fast', '--no-sync']);
  await writeFile(join(data, 'standby.signal'), '');
  const source = `primary_conninfo = 'host=${origin.socketDirectory} port=${origin.port} user=postgres'\n`;
  await appendFile(join(data, 'postgresql.auto.conf'), source);
  const standby = await site.attach(data);
  await standby.start();
  await insert(origin, 'primary');
  const segment = await site.archiveAll();
  await site.archiveAll(origin);
  await expect
    .poll(() => archiver(standby), { timeout: 60_000, interval: 100 })
    .toMatchObject({ failed: 0, last: expect.toSatisfy((last: string) => last >= segment) });
  expect(await archiver(origin)).toMatchObject({ failed: 0 });

  await origin.stop();
  await standby.sql('select pg_promote()');
  await insert(standby, 'promoted');
  await site.archiveAll(standby);
  expect(await archiver(standby)).toMatchObject({ failed: 0 });
  await recoverStory(site, ['--latest'], { timeline: 2, story: 'common primary promoted' });
});

async function archiver(cluster: Cluster): Promise<{ readonly failed: number; readonly last: string }> {
  const row = await cluster.sql("select failed_count, coalesce(last_archived_wal, '') from pg_stat_archiver");
  const [failed = '', last = ''] = row.split('|');
  return { failed: Number(failed), last };
}
