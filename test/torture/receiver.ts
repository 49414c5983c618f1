/**
 * A receiver, its server, the store and the network between them fail in random order, under load. In the end of every
 * round host and receiver are gone, and the store alone must give back what was acknowledged.
 * @packageDocumentation
 */
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Cluster, type Major, Random } from '@keyframe/testkit/postgres';
import type { Running } from '../e2e/support/keyframe.ts';
import { Load, streaming } from '../e2e/support/load.ts';
import type { PlanFacts } from '../e2e/support/reports.ts';
import { Site } from '../e2e/support/site.ts';
import { killWhoeverNames } from './processes.ts';
import type { Weather } from './flaky-store.ts';

export interface ReceiverOptions {
  readonly rounds: number;
  readonly seed: number;
  readonly synchronous: boolean;
  /** Told after every round. */
  readonly onRound?: (number: number, lost: number) => void;
}

export interface ReceiverReport {
  readonly rounds: number;
  readonly failures: readonly string[];
  readonly struck: Readonly<Record<Trouble, number>>;
  /** Commits that returned. */
  readonly acknowledged: number;
  /** Of these, how many no restore had: 0 in synchronous mode. */
  readonly lost: number;
}

const TROUBLES = ['receiver', 'server', 'store', 'network', 'stall'] as const;
type Trouble = (typeof TROUBLES)[number];

const INTERVAL_MS = 500;
/** Most that a commit may be older than the interval when it is lost, on a machine that does much else, milliseconds. */
const SLACK_MS = 8000;
const CALM: Weather = { failing: 0, slowMs: 0 };
/** So many rounds share a base backup. */
const ROUNDS_A_BACKUP = 25;

/** One cluster and what happens to it. */
class Ordeal {
  readonly site: Site;
  readonly random: Random;
  readonly synchronous: boolean;
  readonly struck: Record<Trouble, number> = { receiver: 0, server: 0, store: 0, network: 0, stall: 0 };
  acknowledged = 0;
  lost = 0;
  #receiver: Running | undefined;

  constructor(site: Site, { seed, synchronous }: ReceiverOptions) {
    this.site = site;
    this.random = new Random(seed);
    this.synchronous = synchronous;
  }

  get #control(): string {
    return join(this.site.directory, 'weather');
  }

  async prepare(): Promise<void> {
    const { site } = this;
    await this.#weather(CALM);
    const text = await readFile(site.config, 'utf8');
    const use = JSON.stringify(fileURLToPath(new URL('flaky-store.ts', import.meta.url)));
    const flaky = text.replace(/use: fs, name: (\w+), directory: ("[^"]+")/u, (_, name: string, directory: string) =>
      [`use: ${use}`, `name: ${name}`, `directory: ${directory}`, `control: ${JSON.stringify(this.#control)}`].join(
        ', ',
      ),
    );
    await writeFile(site.config, flaky);
    const settings = ['create table load (n int primary key, at timestamptz default clock_timestamp())'];
    if (this.synchronous) settings.push("alter system set synchronous_standby_names = 'keyframe_main'");
    this.#start();
    await streaming(site.origin);
    await site.backup();
    for (const each of [...settings, 'select pg_reload_conf()']) await site.origin.sql(each);
  }

  #weather(weather: Weather): Promise<void> {
    return writeFile(this.#control, JSON.stringify(weather));
  }

  #start(): void {
    this.#receiver = this.site.spawn(['wal', 'receive']);
  }

  async #kill(): Promise<void> {
    this.#receiver?.child.kill('SIGKILL');
    await this.#receiver?.ended;
  }

  /** One round; resolves with what is wrong. */
  async round(number: number): Promise<string | undefined> {
    const { site, random } = this;
    const { origin } = site;
    if (number % ROUNDS_A_BACKUP === ROUNDS_A_BACKUP - 1) await site.backup();
    await origin.sql('truncate load');
    const load = new Load(origin);
    await load.until(random.between(2, 10));
    const trouble = Array.from({ length: random.between(1, 3) }, () => random.pick([...TROUBLES]));
    for (const each of trouble) {
      this.struck[each] += 1;
      await this.#strike(each, load);
    }
    const isBound = !trouble.includes('store');
    const seen = await this.#loseHost(load);
    this.acknowledged += load.acknowledged;
    const wrong = await this.#examine(load, isBound ? seen : undefined);
    await origin.start();
    this.#start();
    await streaming(origin);
    return wrong === undefined ? undefined : `round ${number + 1} (${trouble.join(', ')}): ${wrong}`;
  }

  async #strike(trouble: Trouble, load: Load): Promise<void> {
    const { random, site } = this;
    const { origin } = site;
    switch (trouble) {
      case 'receiver':
        await this.#kill();
        await sleep(random.between(0, 300));
        this.#start();
        break;
      case 'server':
        await origin.kill9();
        await load.stop();
        await origin.start();
        await load.goOn();
        break;
      case 'store':
        await this.#weather({ failing: random.pick([50, 300, 1000]), slowMs: random.pick([0, 50]) });
        await sleep(random.between(100, 1500));
        await this.#weather(CALM);
        break;
      case 'network':
        await origin.sql('select pg_terminate_backend(pid) from pg_stat_replication');
        break;
      case 'stall':
        this.#receiver?.child.kill('SIGSTOP');
        await sleep(random.between(50, 800));
        this.#receiver?.child.kill('SIGCONT');
        break;
    }
    await sleep(random.between(0, 400));
  }

  /** Server and receiver end at once. Resolves with the newest commit that returned. */
  async #loseHost(load: Load): Promise<{ readonly at: number }> {
    await Promise.all([this.site.origin.kill9(), this.#kill()]);
    // A `wal push` outlives its server; on a host that is lost it does not.
    await killWhoeverNames(this.site.directory);
    const at = Date.now();
    await load.stop();
    return { at };
  }

  /** What the store alone gives back. */
  async #examine(load: Load, bound: { readonly at: number } | undefined): Promise<string | undefined> {
    const { site } = this;
    const plan = await site.report<PlanFacts>(['plan', '--latest']);
    const copy = await site.recover(['--latest']);
    try {
      const [most = 0, count = 0, xid = ''] = (
        await copy.sql('select coalesce(max(n), 0), count(*), coalesce(max(xmin::text::bigint), 0) from load')
      ).split('|');
      const [newest, rows] = [Number(most), Number(count)];
      if (newest !== rows) return `${rows} rows, the last of them ${newest}`;
      if (rows > 0 && Number(xid) !== plan.lastKept?.xid)
        return `the plan named transaction ${plan.lastKept?.xid} as the last, the copy has ${xid}`;
      return this.#judge(load, newest, { copy, bound });
    } finally {
      await copy.stop('immediate');
      await rm(copy.data, { recursive: true, force: true });
    }
  }

  #judge(
    load: Load,
    newest: number,
    { bound }: { readonly copy: Cluster; readonly bound: { readonly at: number } | undefined },
  ): string | undefined {
    const missing = Math.max(0, load.acknowledged - newest);
    this.lost += missing;
    if (this.synchronous) return missing === 0 ? undefined : `${missing} acknowledged commits are missing`;
    const firstLost = load.returnedAt(newest + 1);
    if (missing === 0 || bound === undefined || firstLost === undefined) return undefined;
    const age = bound.at - firstLost;
    return age <= INTERVAL_MS + SLACK_MS ? undefined : `a commit ${age} ms before the end is missing`;
  }

  async end(): Promise<void> {
    await this.#kill();
  }
}

/** Goes through so many rounds. */
export async function receiverOrdeal(major: Major, options: ReceiverOptions): Promise<ReceiverReport> {
  const receive = options.synchronous ? '{ synchronous: true }' : `{ flushInterval: ${INTERVAL_MS}ms }`;
  await using site = await Site.create(major, {
    walSegmentSizeMiB: 1,
    // Another server of this machine may take the port while this one is down.
    tcp: false,
    settings: { archive_mode: 'off', archive_command: '', wal_sender_timeout: '5s', autovacuum: 'off' },
    receive,
  });
  const ordeal = new Ordeal(site, options);
  const failures: string[] = [];
  let rounds = 0;
  try {
    await ordeal.prepare();
    for (; rounds < options.rounds && failures.length === 0; rounds += 1) {
      const wrong = await ordeal.round(rounds);
      if (wrong !== undefined) failures.push(wrong);
      options.onRound?.(rounds + 1, ordeal.lost);
    }
  } finally {
    await ordeal.end();
  }
  const { struck, acknowledged, lost } = ordeal;
  return { rounds, failures, struck, acknowledged, lost };
}
