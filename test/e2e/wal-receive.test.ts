import { appendFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cluster, type Major, needs, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, onTestFinished, test } from 'vitest';
import type { Ended, Running } from './support/keyframe.ts';
import { Load, streaming, until } from './support/load.ts';
import type { PlanFacts } from './support/reports.ts';
import { Site, type SiteOptions } from './support/site.ts';

const RECEIVER_ALONE = { archive_mode: 'off', archive_command: '', autovacuum: 'off' } as const;

async function startSite(major: Major, options: SiteOptions): Promise<Site> {
  const site = await Site.create(major, options);
  await site.origin.sql('create table load (n int primary key)');
  return site;
}

async function waitsFor(cluster: Cluster, names: string): Promise<void> {
  await cluster.sql(`alter system set synchronous_standby_names = '${names}'`);
  await cluster.sql('select pg_reload_conf()');
}

async function rows(cluster: Cluster): Promise<number> {
  return Number(await cluster.sql('select coalesce(max(n), 0) from load'));
}

/** Starts a receiver; it ends with the test, whatever came of that. */
function receiverOf(site: Site): Running {
  const running = site.spawn(['wal', 'receive']);
  onTestFinished(() => kill(running));
  return running;
}

const kill = async (running: Running): Promise<void> => {
  running.child.kill('SIGKILL');
  await running.ended;
};

// What follows is of 18.
describe.each(postgresMajors([14]))('a receiver of PostgreSQL %i', (major) => {
  test('that commits wait for loses none of them with receiver, server and host', async (context) => {
    await needs(context, `postgres-${major}`);
    const receive = '{ synchronous: true }';
    await using site = await startSite(major, { settings: RECEIVER_ALONE, receive });
    const { origin } = site;
    let receiver = receiverOf(site);
    await streaming(origin);
    await site.backup();
    await waitsFor(origin, 'keyframe_main');
    const load = new Load(origin);
    await load.until(20);
    await kill(receiver);
    const stalled = load.acknowledged;
    await sleep(500);
    // One may have been on its way.
    expect(load.acknowledged).toBeLessThanOrEqual(stalled + 1);
    receiver = receiverOf(site);
    await load.until(stalled + 20);
    await origin.kill9();
    await load.stop();
    await kill(receiver);
    await rm(origin.data, { recursive: true });
    const plan = await site.report<PlanFacts>(['plan', '--latest']);
    expect(plan.lastKept).toBeDefined();
    const copy = await site.recover(['--latest']);
    expect(await rows(copy)).toBeGreaterThanOrEqual(load.acknowledged);
    expect(await rows(copy)).toBeLessThanOrEqual(load.acknowledged + 1);
    expect(Number(await copy.sql('select count(*) from load'))).toBe(await rows(copy));
  });
});

/** What a receiver told, line by line; the last one is its report. */
function toldBy({ stdout }: Ended): Record<string, unknown>[] {
  return stdout
    .trimEnd()
    .split('\n')
    .map((line) => JSON.parse(line) as Record<string, unknown>);
}

/** Fills some segments of 1 MiB. */
const fill = (cluster: Cluster): Promise<string> =>
  cluster.sql(`create table if not exists filler (x text);
    insert into filler select repeat(md5(x::text), 30) from generate_series(1, 6000) x; checkpoint`);

const parts = async (site: Site): Promise<string[]> =>
  (await site.objects('clusters/main/1/wal/')).filter((key) => key.includes('.parts/'));

test('a host that is lost costs no more than the interval, and the plan says what is left', async (context) => {
  await needs(context, 'postgres-18');
  const receive = '{ flushInterval: 1s }';
  await using site = await startSite(18, { settings: RECEIVER_ALONE, receive });
  const { origin } = site;
  const receiver = receiverOf(site);
  await streaming(origin);
  await site.backup();
  await origin.sql('alter table load add at timestamptz default clock_timestamp()');
  const load = new Load(origin);
  await load.until(30);
  await sleep(3000);
  const killedAt = await origin.sql('select clock_timestamp()');
  await Promise.all([kill(receiver), origin.kill9()]);
  await load.stop();
  await rm(origin.data, { recursive: true });
  const plan = await site.report<PlanFacts>(['plan', '--latest']);
  const copy = await site.recover(['--latest']);
  expect(await copy.sql('select xmin from load order by n desc limit 1')).toBe(String(plan.lastKept?.xid));
  expect(await rows(copy)).toBeGreaterThan(30);
  // The interval, and some time for the store of a machine that does much else.
  const lost = await copy.sql(`select extract(epoch from timestamptz '${killedAt}' - max(at)) from load`);
  expect(Number(lost)).toBeLessThan(10);
});

test('a receiver and archive_command write the same objects, and leave no part of a whole segment', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await startSite(18, { walSegmentSizeMiB: 1, receive: '{ flushInterval: 100ms }' });
  const { origin } = site;
  const receiver = receiverOf(site);
  await streaming(origin);
  await site.backup();
  for (let round = 0; round < 3; round += 1) await fill(origin);
  const last = await site.archiveAll();
  await until('the receiver is there too', async () => {
    const sent = await origin.sql('select bool_and(flush_lsn >= sent_lsn) from pg_stat_replication');
    return sent === 't';
  });
  receiver.child.kill('SIGTERM');
  const ended = await receiver.ended;
  expect(ended.status).toBe(0);
  expect(toldBy(ended).at(-1)).toMatchObject({ reason: 'stopped', gaps: [] });
  expect((await parts(site)).filter((key) => key.includes(last))).toEqual([]);
  expect((await parts(site)).every((key) => key.split('/').some((each) => each.startsWith('0') && each > last))).toBe(
    true,
  );
  expect(await origin.sql('select failed_count from pg_stat_archiver')).toBe('0');
  expect((await site.keyframe(['verify', '--deep'])).status).toBe(0);
});

test('a receiver goes on at the new primary, and its timeline is followed', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await startSite(18, { settings: RECEIVER_ALONE });
  const { origin } = site;
  const data = join(site.directory, 'standby');
  await origin.exec('pg_basebackup', ['-D', data, '-R', '-c', 'fast', '-X', 'stream']);
  // pg_basebackup may know more of libpq than the server's own.
  const primary = `host=${origin.socketDirectory} port=${origin.port} user=postgres`;
  await appendFile(join(data, 'postgresql.auto.conf'), `primary_conninfo = '${primary}'\n`);
  const standby = await site.attach(data);
  await standby.start();
  const url = `postgresql://postgres@127.0.0.1:${origin.port},127.0.0.1:${standby.port}/postgres`;
  await site.writeConfig({ receive: '{ synchronous: true }' }, url);
  const receiver = receiverOf(site);
  await streaming(origin, 2);
  await site.backup();
  await waitsFor(origin, 'keyframe_main');
  const before = new Load(origin);
  await before.until(10);
  await origin.kill9();
  await before.stop();
  await standby.sql('select pg_promote()');
  await standby.waitPromoted();
  await standby.sql(`alter system set synchronous_standby_names = 'keyframe_main'`);
  await standby.sql('select pg_reload_conf()');
  await streaming(standby);
  await standby.sql('truncate load');
  const after = new Load(standby);
  await after.until(10);
  await standby.kill9();
  await after.stop();
  await kill(receiver);
  expect(await site.objects('clusters/main/1/wal/')).toContain('clusters/main/1/wal/00000002.history');
  const copy = await site.recover(['--latest']);
  expect(await rows(copy)).toBeGreaterThanOrEqual(after.acknowledged);
  expect(await copy.sql('select substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8)')).toBe('00000003');
});

test.each([
  ['told as a gap where nothing else archives', RECEIVER_ALONE, 3],
  ['filled by what archive_command stored', {}, 0],
] as const)('what a lost slot did not keep is %s', async (_name, archiving, status) => {
  const sizes = { max_slot_wal_keep_size: '2MB', wal_keep_size: 0, min_wal_size: '2MB', max_wal_size: '4MB' };
  // What a vacuum writes would be too much for the slot once more.
  const settings = { ...sizes, autovacuum: 'off' };
  await using site = await startSite(18, { walSegmentSizeMiB: 1, settings: { ...settings, ...archiving } });
  const { origin } = site;
  expect((await site.keyframe(['wal', 'receive', '--once'])).status).toBe(0);
  for (let round = 0; round < 2; round += 1) await fill(origin);
  if (status === 0) await site.archiveAll();
  await origin.sql('checkpoint');
  expect(await origin.sql('select wal_status from pg_replication_slots')).toBe('lost');
  const again = await site.keyframe(['wal', 'receive', '--once']);
  expect(again.status).toBe(status);
  const told = toldBy(again);
  expect(told.map(({ kind }) => kind)).toContain('slot-lost');
  expect(told.filter(({ kind }) => kind === 'gap')).toHaveLength(status === 0 ? 0 : 1);
  expect(await origin.sql('select wal_status from pg_replication_slots')).toBe('reserved');
});

test('remote_apply is refused with the reason', async (context) => {
  await needs(context, 'postgres-18');
  await using site = await startSite(18, { settings: RECEIVER_ALONE, receive: '{ synchronous: true }' });
  await site.origin.sql('alter role postgres set synchronous_commit = remote_apply');
  const refused = await site.keyframe(['wal', 'receive']);
  expect(refused.status).toBe(2);
  const message: unknown = expect.stringContaining('remote_apply');
  expect(toldBy(refused).at(-1)?.['error']).toMatchObject({ code: 'INVALID_OPTION', message });
});
