import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { announcedSeed, needs, Random } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import { Load } from './support/load.ts';
import { COMPONENTS, type Kind, type Place, startPlace } from './support/places.ts';
import { PATIENCE_MS, Site } from './support/site.ts';

const ALL: readonly Kind[] = ['s3', 'gcs', 'azure', 'sftp', 'fs'];
const wanted = process.env['KEYFRAME_STORE_KINDS'];
/** CI takes S3, the kind with the strictest server; the torture run takes all, and so does `KEYFRAME_STORE_KINDS=all`. */
const whole = process.env['KEYFRAME_TORTURE'] === 'full' || wanted === 'all';
const kinds = ALL.filter((kind) => whole || (wanted ?? 's3').split(',').includes(kind));

const RETENTION = 'retention: { count: 2, grace: 1s }';
const seed = announcedSeed('store kinds');

/** Kills processes that push, in the middle of what they have claimed. */
async function killPushes(site: Site, count: number): Promise<number> {
  const claim = join(site.origin.data, 'keyframe.spool', 'pushing');
  const killed = new Set<number>();
  const deadline = performance.now() + 10_000;
  while (killed.size < count && performance.now() < deadline) {
    const pid = Number((await readFile(claim, 'utf8').catch(() => '')).split('\n')[2] ?? 0);
    if (pid > 0 && !killed.has(pid)) {
      killed.add(pid);
      process.kill(pid, 'SIGKILL');
    }
    await sleep(10);
  }
  return killed.size;
}

/** How many rows of the load a recovery has; every number from 1 on must be there. */
async function recoveredRows(site: Site, args: readonly string[]): Promise<number> {
  const copy = await site.recover(args);
  const [count, newest] = (await copy.sql("select count(*) || ' ' || coalesce(max(n), 0) from load")).split(' ');
  await copy.stop('immediate');
  expect(count).toBe(newest);
  return Number(count);
}

/** A backup that the weather may stop; what it ends with is a typed fault, and the next one succeeds. */
async function backupAtLast(site: Site, args: readonly string[] = []): Promise<void> {
  for (let attempt = 1; ; attempt += 1) {
    const { status, stdout, stderr } = await site.keyframe(['backup', ...args]);
    if (status === 0) return;
    if (attempt === 4 || !/"code":"(UNAVAILABLE|ACCESS_DENIED|LOCKED|CORRUPT)"/.test(stdout))
      throw new Error(`backup ended with ${status}: ${stdout}${stderr}`);
    await sleep(1_000);
  }
}

describe.each(kinds)('a repository on %s, on a bad day', (kind) => {
  test('loses no acknowledged commit and ends well', { timeout: PATIENCE_MS * 2 }, async (context) => {
    for (const component of ['postgres-18', ...COMPONENTS[kind]] as const) await needs(context, component);
    const random = new Random(seed);
    await using place = await startPlace(kind);
    await using site = await Site.create(18, {
      walSegmentSizeMiB: 1,
      slots: [place.slot],
      repositoryLines: [RETENTION],
    });
    await site.origin.sql(
      'create table load (n int); create table filler as select md5(i::text) from generate_series(1, 20000) i',
    );

    place.harm(random);
    await backupAtLast(site);
    const load = new Load(site.origin);
    await load.until(20);

    // Killed in the middle of a backup, and of what is pushed meanwhile.
    const doomed = site.spawn(['backup', '--max-rate', '1MiB']);
    await site.origin.sql('insert into filler select md5(i::text) from generate_series(1, 30000) i');
    await sleep(1_500);
    const pushes = await killPushes(site, 1);
    doomed.child.kill('SIGKILL');
    await doomed.ended;
    expect(pushes).toBe(1);
    await backupAtLast(site, ['--type', 'incremental']);

    // Away for a while, and credentials that have run out.
    const away = place.outage(2_000);
    await site.origin.sql('insert into filler select md5(i::text) from generate_series(1, 10000) i');
    await away;
    place.expire(2);
    await backupAtLast(site, ['--type', 'incremental']);

    await site.origin.sql("select pg_create_restore_point('before')");
    const before = load.acknowledged;
    await load.until(before + 20);
    await load.stop();
    await site.archiveAll();
    expect(place.strikes()).toBeGreaterThanOrEqual(kind === 'fs' || kind === 'sftp' ? 0 : 5);

    const atPoint = await recoveredRows(site, ['--name', 'before']);
    expect(atPoint).toBeGreaterThanOrEqual(before - 1);
    expect(atPoint).toBeLessThanOrEqual(before + 1);
    expect(await recoveredRows(site, ['--latest'])).toBeGreaterThanOrEqual(load.acknowledged);
    place.heal();

    // What is left when old backups go is whole.
    await site.report(['expire']);
    await sleep(1_100);
    await site.report(['expire']);
    expect((await site.list()).backups.length).toBeLessThanOrEqual(2);
    expect((await site.keyframe(['verify', '--deep'])).status).toBe(0);
    expect(await recoveredRows(site, ['--latest'])).toBeGreaterThanOrEqual(load.acknowledged);
  });
});

describe.runIf(whole)('a repository on three clouds', () => {
  test(
    'loses one of them at any moment without a commit, and two with the loss told',
    { timeout: PATIENCE_MS * 2 },
    async (context) => {
      for (const kind of ['s3', 'gcs', 'azure'] as const)
        for (const component of COMPONENTS[kind]) await needs(context, component);
      await needs(context, 'postgres-18');
      const random = new Random(seed);
      await using stack = new AsyncDisposableStack();
      const clouds: Place[] = [];
      for (const kind of ['s3', 'gcs', 'azure'] as const) clouds.push(stack.use(await startPlace(kind)));
      const site = stack.use(await Site.create(18, { walSegmentSizeMiB: 1, slots: clouds.map(({ slot }) => slot) }));
      await site.origin.sql('create table load (n int)');
      await site.backup();
      const load = new Load(site.origin);

      // Each is away for a while, at a moment that nobody chose, and comes back.
      for (const cloud of clouds) {
        await load.until(load.acknowledged + random.between(3, 15));
        await cloud.down();
        await site.origin.sql(
          'create table if not exists filler (t text); insert into filler select md5(i::text) from generate_series(1, 5000) i',
        );
        await load.until(load.acknowledged + 10);
        await site.archiveAll();
        await cloud.up();
      }
      await site.report(['repository', 'sync']);

      // One is lost for good: everything that was acknowledged is there.
      const [first, second, third] = clouds;
      await load.until(load.acknowledged + 10);
      await load.stop();
      await site.archiveAll();
      await first?.down();
      const lost = ['--without-store', first?.kind ?? ''];
      expect(await recoveredRows(site, ['--latest', ...lost])).toBeGreaterThanOrEqual(load.acknowledged);

      // Two are lost: nothing is acknowledged any more, and what the third holds is restored, with the loss named.
      await second?.down();
      const plan = await site.report<{ mayBeMissing: string[] }>([
        'plan',
        '--latest',
        ...lost,
        '--without-store',
        second?.kind ?? '',
      ]);
      expect(plan.mayBeMissing.join('\n')).toMatch(/may lie on them alone/);
      expect(third?.kind).toBe('azure');
      const kept = await recoveredRows(site, ['--latest', ...lost, '--without-store', second?.kind ?? '']);
      expect(kept).toBeGreaterThan(0);
      expect(kept).toBeLessThanOrEqual(load.acknowledged + 1);
    },
  );
});
