/** Load on a server, and waiting for its receiver. @packageDocumentation */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Cluster } from '@keyframe/testkit/postgres';
import { PATIENCE_MS } from './site.ts';

/** Rows that one session after the other commits, and which of them the server has acknowledged. */
export class Load {
  acknowledged = 0;
  readonly #cluster: Cluster;
  readonly #returnedAt: number[] = [];
  #stopped = false;
  #running: Promise<void>;

  constructor(cluster: Cluster) {
    this.#cluster = cluster;
    this.#running = this.#run();
  }

  async #run(first = 1): Promise<void> {
    for (let next = first; !this.#stopped; next += 1) {
      const { status } = await this.#cluster.tryExec('psql', ['-XAtqc', `insert into load values (${next})`]);
      if (status !== 0) return;
      this.acknowledged = next;
      this.#returnedAt[next] = Date.now();
    }
  }

  /** When that commit returned, in milliseconds since 1970. */
  returnedAt(number: number): number | undefined {
    return this.#returnedAt[number];
  }

  /**
   * Goes on after the server was gone. A commit that had not returned may be there all the same, without being anywhere else:
   * it counts as acknowledged only when a later one is.
   */
  async goOn(): Promise<void> {
    const newest = Number(await this.#cluster.sql('select coalesce(max(n), 0) from load'));
    this.#stopped = false;
    this.#running = this.#run(newest + 1);
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

/** Waits until it is true. */
export async function until(what: string, check: () => Promise<boolean> | boolean): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!(await check())) {
    if (performance.now() > deadline) throw new Error(`waited in vain until ${what}`);
    await sleep(20);
  }
}

/** Waits until so many receivers stream. */
export async function streaming(cluster: Cluster, count = 1): Promise<void> {
  const asked = "select count(*) from pg_stat_replication where state = 'streaming'";
  await until(`${count} stream`, async () => (await cluster.sql(asked)) === String(count));
}
