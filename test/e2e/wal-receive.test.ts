import { rm } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Cluster, needs, postgresMajors } from '@keyframe/testkit/postgres';
import { describe, expect, test } from 'vitest';
import type { Running } from './support/keyframe.ts';
import type { PlanFacts } from './support/reports.ts';
import { PATIENCE_MS, Site } from './support/site.ts';

const RECEIVER_ALONE = { archive_mode: 'off', archive_command: '' } as const;

/** Rows that one session after the other commits, and which of them the server has acknowledged. */
class Load {
  acknowledged = 0;
  #stopped = false;
  readonly #running: Promise<void>;

  constructor(cluster: Cluster) {
    this.#running = this.#run(cluster);
  }

  async #run(cluster: Cluster): Promise<void> {
    while (!this.#stopped) {
      const next = this.acknowledged + 1;
      const { status } = await cluster.tryExec('psql', ['-XAtqc', `insert into load values (${next})`]);
      if (status !== 0) return;
      this.acknowledged = next;
    }
  }

  async until(count: number): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (this.acknowledged < count) {
      if (performance.now() > deadline) throw new Error(`only ${this.acknowledged} of ${count} commits returned`);
      await sleep(10);
    }
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    await this.#running;
  }
}

async function until(what: string, check: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await sleep(20);
  }
}

async function streaming(cluster: Cluster): Promise<void> {
  await until(
    'a receiver streams',
    async () => (await cluster.sql("select count(*) from pg_stat_replication where state = 'streaming'")) === '1',
  );
}

async function startSite(options: Parameters<typeof Site.create>[1] & { readonly major: 14 | 18 }): Promise<Site> {
  const { major, ...rest } = options;
  const site = await Site.create(major, rest);
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

const kill = async (running: Running): Promise<void> => {
  running.child.kill('SIGKILL');
  await running.ended;
};

describe.each(postgresMajors([18]))('a receiver of PostgreSQL %i', (major) => {
  test('that commits wait for loses none of them with receiver, server and host', async (context) => {
    await needs(context, `postgres-${major}`);
    const receive = '{ synchronous: true }';
    await using site = await startSite({ major: major as 14 | 18, settings: RECEIVER_ALONE, receive });
    const { origin } = site;
    let receiver = site.spawn(['wal', 'receive']);
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
    receiver = site.spawn(['wal', 'receive']);
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
