import { chmod, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { needs } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import { SELF } from './support/keyframe.ts';
import { Site, switchWal } from './support/site.ts';

const BACKLOG = 40;

test('a backlog is archived by few processes, one of them killed, and every segment is there', async (context) => {
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

  // Stands for Node: writes down that it was started, and the second time dies in the middle.
  const starts = join(site.directory, 'starts');
  const node = join(site.directory, 'node');
  const kill = `if [ "$(wc -l < ${starts})" -eq 2 ]; then "$0.real" "$@" & sleep 0.4; kill -9 $!; wait $!; exit $?; fi`;
  await writeFile(node, `#!/bin/sh\necho started >> ${starts}\n${kill}\nexec "$0.real" "$@"\n`);
  await writeFile(`${node}.real`, `#!/bin/sh\nexec ${SELF.node} "$@"\n`);
  for (const path of [node, `${node}.real`]) await chmod(path, 0o755);
  const words = [SELF.archiveWrapper, node, SELF.main, '--config', site.config, '--max-ahead', '16', '--', '%p'];
  await origin.sql(`alter system set archive_command = '${words.join(' ')}'`);
  await origin.sql('select pg_reload_conf()');

  const last = segments.at(-1) ?? '';
  const archived = (): Promise<string> => origin.sql("select coalesce(last_archived_wal, '') from pg_stat_archiver");
  while ((await archived()).slice(0, 24) < last) await sleep(100);
  const count = (await readFile(starts, 'utf8')).trim().split('\n').length;
  expect(count).toBeGreaterThanOrEqual(3);
  expect(count).toBeLessThan(BACKLOG / 4);

  const status = await site.report<{ readonly timelines: readonly { readonly gaps: unknown[] }[] }>(['wal', 'status']);
  expect(status.timelines.map(({ gaps }) => gaps)).toEqual([[]]);
  for (const segment of segments.filter((_, index) => index % 8 === 0)) {
    const to = site.freshPath('fetched');
    await site.report(['wal', 'fetch', segment, to]);
    expect((await readFile(to)).equals(await readFile(join(origin.data, 'pg_wal', segment)))).toBe(true);
  }
  expect(await readdir(join(origin.data, 'keyframe.spool'))).toEqual([]);
});
