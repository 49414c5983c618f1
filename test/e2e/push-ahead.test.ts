import { chmod, readdir, readFile, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { needs } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import { SELF } from './support/keyframe.ts';
import { Site, switchWal } from './support/site.ts';

const BACKLOG = 40;
const KILLS = 3;

test('a backlog is archived by few processes, some of them killed, and every segment is there', async (context) => {
  await needs(context, 'postgres-16');
  await using site = await Site.create(16, { walSegmentSizeMiB: 1, settings: { archive_command: 'false' } });
  const { origin } = site;
  await origin.sql('create table t (filler text)');
  const segments: string[] = [];
  for (let made = 0; made < BACKLOG; made += 1) {
    await origin.sql('insert into t select md5(i::text) from generate_series(1, 1000) i');
    segments.push(await switchWal(origin));
  }

  await site.report(['wal', 'push', join(origin.data, 'pg_wal', segments[0] ?? '')]);
  const waiting = await site.text(['wal', 'status']);
  expect(waiting).toMatch(
    /waiting: +[0-9]+ files \(.*\) in pg_wal, 0\.0 archived and .* a second: it does not get less/,
  );
  expect(waiting).toMatch(/pg_wal: +.* free/);

  // Stands for Node: writes down that it was started.
  const starts = join(site.directory, 'starts');
  const node = join(site.directory, 'node');
  await writeFile(node, `#!/bin/sh\necho started >> ${starts}\nexec ${SELF.node} "$@"\n`);
  await chmod(node, 0o755);
  const started = async (): Promise<number> => (await readFile(starts, 'utf8')).trim().split('\n').length;
  const words = [SELF.archiveWrapper, node, SELF.main, '--config', site.config, '--max-ahead', '16', '--', '%p'];
  await origin.sql(`alter system set archive_command = '${words.join(' ')}'`);
  await origin.sql('select pg_reload_conf()');

  const spool = join(origin.data, 'keyframe.spool');
  const archived = async (segment: string): Promise<void> => {
    const last = (): Promise<string> => origin.sql("select coalesce(last_archived_wal, '') from pg_stat_archiver");
    while ((await last()).slice(0, 24) < segment) await sleep(100);
  };
  // Dies in the middle of what it has claimed.
  const killed = new Set<number>();
  while (killed.size < KILLS) {
    const claim = await readFile(join(spool, 'pushing'), 'utf8').catch(() => '');
    const pid = Number(claim.split('\n')[2] ?? 0);
    if (pid > 0 && !killed.has(pid)) process.kill(pid, 'SIGKILL');
    if (pid > 0) killed.add(pid);
    await sleep(20);
  }
  await archived(segments.at(-1) ?? '');
  expect(await started()).toBeGreaterThan(KILLS);
  expect(await started()).toBeLessThan(BACKLOG / 4);

  const status = await site.report<{ readonly timelines: readonly { readonly gaps: unknown[] }[] }>(['wal', 'status']);
  expect(status.timelines.map(({ gaps }) => gaps)).toEqual([[]]);
  for (const segment of segments.filter((_, index) => index % 16 === 0)) {
    const to = site.freshPath('fetched');
    await site.report(['wal', 'fetch', segment, to]);
    expect((await readFile(to)).equals(await readFile(join(origin.data, 'pg_wal', segment)))).toBe(true);
  }

  const next = async (): Promise<void> => {
    await origin.sql('insert into t select md5(i::text) from generate_series(1, 1000) i');
    await archived(await switchWal(origin));
  };
  // Whether the process of the backlog is still there or a new one, it stays for what comes.
  await next();
  const busy = await started();
  for (let made = 0; made < 3; made += 1) await next();
  expect(await started()).toBe(busy);
  // Another configuration may name another repository: nobody who knows the old one is believed.
  const now = new Date();
  await utimes(site.config, now, now);
  await next();
  expect(await started()).toBe(busy + 1);

  await origin.stop();
  const left = async (): Promise<string[]> => (await readdir(spool)).filter((name) => name !== 'asked');
  while ((await left()).includes('pushing')) await sleep(50);
  expect(await left()).toEqual([]);
});
