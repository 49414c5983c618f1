import { existsSync } from 'node:fs';
import { appendFile, chmod, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cluster, needs } from '@keyframe/testkit/postgres';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { SELF } from './support/keyframe.ts';
import { PATIENCE_MS, Site, switchWal } from './support/site.ts';

const SEGMENTS = 40;
const EARLY = 6;
const FETCHED = 'keyframe.spool/pgsql_tmp.fetched';

describe('fetching ahead', () => {
  let site: Site;
  const stack = new AsyncDisposableStack();
  const rows = { early: '', all: '' };

  const mark = async (name: 'early' | 'all'): Promise<void> => {
    await site.origin.sql(`select pg_create_restore_point('${name}')`);
    rows[name] = await site.origin.sql('select count(*) from t');
  };

  beforeAll(async () => {
    site = stack.use(await Site.create(18, { walSegmentSizeMiB: 1 }));
    const { origin } = site;
    await origin.sql('create table t (filler text)');
    await site.backup();
    for (let made = 0; made < SEGMENTS; made += 1) {
      await origin.sql('insert into t select md5(i::text) from generate_series(1, 1000) i');
      if (made === EARLY) await mark('early');
      await switchWal(origin);
    }
    await mark('all');
    await origin.sql('insert into t select md5(i::text) from generate_series(1, 1000) i');
    await site.archiveAll();
  });
  afterAll(() => stack.disposeAsync());

  /** A restored directory whose restore_command starts `node` instead, which writes down what it is started with. */
  async function restored(node: string, target: readonly string[]): Promise<{ server: Cluster; starts: string }> {
    const { directory } = await site.restore(target);
    const starts = `${directory}.starts`;
    const program = `${directory}.node`;
    await writeFile(program, `#!/bin/sh\necho "$@" >> ${starts}\n${node}\n`);
    await chmod(program, 0o755);
    const file = join(directory, 'postgresql.auto.conf');
    const settings = (await readFile(file, 'utf8')).replaceAll(SELF.node ?? '', program);
    await writeFile(file, settings);
    return { server: await site.attach(directory), starts };
  }

  const started = async (starts: string): Promise<readonly string[]> =>
    (await readFile(starts, 'utf8')).split('\n').filter((line) => / wal (pre)?fetch /.test(line));

  const real = `exec ${SELF.node} "$@"`;

  test('a recovery starts few processes, stops where it should and leaves nothing behind', async (context) => {
    await needs(context, 'postgres-18');
    const { server, starts } = await restored(real, ['--name', 'all']);
    await server.start({ timeoutMs: PATIENCE_MS });
    await server.waitPromoted(PATIENCE_MS);
    expect(await server.sql('select count(*) from t')).toBe(rows.all);
    const lines = await started(starts);
    expect(lines.filter((line) => line.includes(' wal prefetch ')).length).toBeGreaterThanOrEqual(1);
    expect(lines.length).toBeLessThan(SEGMENTS / 2);
    await gone(join(server.data, FETCHED));
  });

  test('processes that fetch ahead and are killed cost nothing but time', async (context) => {
    await needs(context, 'postgres-18');
    const dies = `case "$*" in *' wal prefetch '*) ${SELF.node} "$@" & sleep 0.3; kill -9 $!; exit 1 ;; esac\n${real}`;
    const { server } = await restored(dies, ['--name', 'early']);
    await server.start({ timeoutMs: PATIENCE_MS });
    await server.waitPromoted(PATIENCE_MS);
    expect(await server.sql('select count(*) from t')).toBe(rows.early);
  });

  test('what another run, another command or another server fetched is not taken', async (context) => {
    await needs(context, 'postgres-18');
    // Never fetches ahead by itself.
    const { server, starts } = await restored(`case "$*" in *' wal prefetch '*) exit 1 ;; esac\n${real}`, [
      '--name',
      'early',
    ]);
    const names = (await site.objects('clusters/main/1/wal/')).map((key) => key.slice(-24));
    const planted = join(server.data, FETCHED);
    await mkdir(planted, { recursive: true, mode: 0o700 });
    for (const name of names) await writeFile(join(planted, name), Buffer.alloc(1 << 20, 7));
    await writeFile(join(planted, 'claim'), 'boot 1 2 /elsewhere\nwords\n{}\n');
    await server.start({ timeoutMs: PATIENCE_MS });
    await server.waitPromoted(PATIENCE_MS);
    expect(await server.sql('select count(*) from t')).toBe(rows.early);
    expect((await started(starts)).length).toBeGreaterThan(EARLY);
  });

  test('waits in bounds while recovery is paused, and ends with the server', async (context) => {
    await needs(context, 'postgres-18');
    const { server } = await restored(real, ['--latest']);
    // Paused long before the last segment that was fetched for.
    await appendFile(
      join(server.data, 'postgresql.auto.conf'),
      "recovery_target_lsn = ''\nrecovery_target_name = ''\nrecovery_target = 'immediate'\nrecovery_target_action = 'pause'\n",
    );
    await server.start({ timeoutMs: PATIENCE_MS });
    const spool = join(server.data, FETCHED);
    const waiting = async (): Promise<number> =>
      existsSync(spool) ? (await readdir(spool)).filter((name) => /^[0-9A-F]{24}$/.test(name)).length : 0;
    while ((await waiting()) < 32) await sleep(50);
    await sleep(300);
    expect(await waiting()).toBe(32);
    await server.stop();
    await gone(spool);
  });
});

/** The process that fetches looks for its server some times a second. */
async function gone(path: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (existsSync(path)) {
    if (performance.now() > deadline) throw new Error(`${path} is still there: ${(await readdir(path)).join(' ')}`);
    await sleep(50);
  }
}
