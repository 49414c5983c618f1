/** What a commit costs that waits for a receiver, and how fast receivers are. @packageDocumentation */
import { type ChildProcess, spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { cleanEnvironment, Cluster, type Major } from '@keyframe/testkit/postgres';
import { loadNow } from '../bench.ts';
import { measure, run, type Usage } from '../measure.ts';
import type { SlowOptions } from '../slow-store.ts';

export interface CommitOptions {
  readonly major: Major;
  readonly segments: number;
  readonly rounds: number;
}

/** What a receiver is, and its name in synchronous_standby_names. */
interface Receiver {
  readonly title: string;
  readonly name: string;
  start(directory: string): Promise<ChildProcess | undefined>;
}

const CLIENTS = [1, 8, 64];
const LATENCIES_MS = [0, 1, 5, 20, 50];
const SECONDS = 4;
const SCRIPT = "insert into commits (client, filler) values (:client_id, repeat('x', 100));\n";
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

const at = (file: string): string => path.join(ROOT, file);
const KEYFRAME = [process.execPath, '--conditions=@keyframe/source', at('apps/cli/src/main.ts')] as const;

/** Both tables, as Markdown. */
export async function commitTables(options: CommitOptions, tell: (text: string) => void): Promise<string> {
  return withServer(options, async (cluster, directory) => {
    await cluster.sql('create table commits (id bigserial primary key, client int, filler text)');
    await writeFile(path.join(cluster.directory, 'commit.sql'), SCRIPT);
    const latency = await latencies(cluster, directory, options, tell);
    return `${latency}\n${await throughput(cluster, directory, options, tell)}`;
  });
}

/** How fast receivers are, alone. */
export async function receiveTable(options: CommitOptions, tell: (text: string) => void): Promise<string> {
  return withServer(options, (cluster, directory) => throughput(cluster, directory, options, tell));
}

async function withServer(
  { major }: CommitOptions,
  work: (cluster: Cluster, directory: string) => Promise<string>,
): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'kf-bench-commit-'));
  try {
    await using cluster = await Cluster.create(major, {
      settings: {
        fsync: true,
        max_connections: 120,
        max_wal_size: '4GB',
        wal_keep_size: '8GB',
        shared_buffers: '128MB',
      },
    });
    await cluster.start();
    return await work(cluster, directory);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

function receiversOf(cluster: Cluster): Receiver[] {
  const started = (argv: readonly string[], more: Readonly<Record<string, string>> = {}): ChildProcess => {
    const [program = '', ...args] = argv;
    const environment = { ...cluster.connection, ...more };
    return spawn(program, args, { cwd: '/', env: cleanEnvironment(environment), stdio: 'ignore' });
  };
  return [
    { title: 'no synchronous standby', name: '', start: async () => undefined },
    {
      title: 'pg_receivewal --synchronous, local disk',
      name: 'receivewal',
      start: async (directory) => {
        await mkdir(directory);
        return started([path.join(cluster.bin, 'pg_receivewal'), '-D', directory, '--synchronous', '--no-loop'], {
          PGAPPNAME: 'receivewal',
        });
      },
    },
    ...LATENCIES_MS.map((latencyMs): Receiver => ({
      title: `Keyframe, store ${latencyMs === 0 ? 'on local disk' : `${latencyMs} ms away`}`,
      name: 'keyframe_main',
      start: async (directory) =>
        started([...KEYFRAME, '--config', await configure(cluster, directory, latencyMs), 'wal', 'receive']),
    })),
  ];
}

/** A repository in that directory, and the configuration that names it. */
async function configure(cluster: Cluster, directory: string, latencyMs: number): Promise<string> {
  const config = path.join(directory, 'keyframe.json');
  await mkdir(directory);
  const options: SlowOptions = { directory: path.join(directory, 'repository'), latencyMs };
  const store = { use: at('test/bench/slow-store.ts'), ...options };
  const content = {
    clusters: { main: { source: { url: cluster.url }, receive: { synchronous: true } } },
    repositories: { vault: { stores: [store] } },
  };
  await writeFile(config, JSON.stringify(content));
  await run({ argv: [...KEYFRAME, '--config', config, 'repository', 'create'] });
  return config;
}

interface Speed {
  readonly milliseconds: number;
  readonly perSecond: number;
}

async function latencies(
  cluster: Cluster,
  directory: string,
  { rounds }: CommitOptions,
  tell: (text: string) => void,
): Promise<string> {
  const found = new Map<string, Map<number, Speed[]>>();
  const loads: number[] = [];
  for (let round = 0; round < rounds; round += 1)
    for (const receiver of receiversOf(cluster)) {
      tell(`commit, round ${round + 1} of ${rounds}: ${receiver.title}`);
      loads.push(loadNow());
      const row = found.get(receiver.title) ?? new Map<number, Speed[]>();
      found.set(receiver.title, row);
      const child = await receiver.start(path.join(directory, `receiver-${round}-${found.size}`));
      await waitedFor(cluster, receiver.name);
      for (const clients of CLIENTS) row.set(clients, [...(row.get(clients) ?? []), await pgbench(cluster, clients)]);
      await waitedFor(cluster, '');
      await ended(child);
      await cluster.sql('select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active');
    }
  const heading = ['commits wait for', ...CLIENTS.map((clients) => `${clients} clients: ms (commits/s)`)];
  const lines = [...found].map(([title, row]) =>
    [title].concat(CLIENTS.map((clients) => cell(row.get(clients) ?? []))),
  );
  const about = `PostgreSQL ${cluster.major}, pgbench with one insert a transaction, ${SECONDS} s each, medians of ${rounds} rounds; load average ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}.`;
  return `${about}\n\n${table([heading, ...lines])}`;
}

function cell(speeds: readonly Speed[]): string {
  const median = speeds.toSorted((one, other) => one.milliseconds - other.milliseconds)[Math.floor(speeds.length / 2)];
  if (median === undefined) return '';
  return `${median.milliseconds.toFixed(1)} (${Math.round(median.perSecond)})`;
}

const table = ([heading = [], ...lines]: readonly (readonly string[])[]): string =>
  [heading, heading.map((_, index) => (index === 0 ? '---' : '--:')), ...lines]
    .map((cells) => `| ${cells.join(' | ')} |\n`)
    .join('');

/** Commits wait for that receiver from here on, which streams. */
async function waitedFor(cluster: Cluster, name: string): Promise<void> {
  await cluster.sql(`alter system set synchronous_standby_names = '${name}'`);
  await cluster.sql('select pg_reload_conf()');
  if (name === '') return;
  for (let tries = 0; tries < 600; tries += 1) {
    const state = await cluster.sql(`select sync_state from pg_stat_replication where application_name = '${name}'`);
    if (state === 'sync') return;
    await sleep(50);
  }
  throw new Error(`${name} does not stream`);
}

async function pgbench(cluster: Cluster, clients: number): Promise<Speed> {
  const script = path.join(cluster.directory, 'commit.sql');
  const args = ['-n', '-c', String(clients), '-j', '2', '-T', String(SECONDS), '-f', script];
  const said = await cluster.exec('pgbench', args);
  const milliseconds = Number(/latency average = ([\d.]+) ms/u.exec(said)?.[1]);
  return { milliseconds, perSecond: Number(/tps = ([\d.]+)/u.exec(said)?.[1]) };
}

async function ended(child: ChildProcess | undefined): Promise<void> {
  if (child === undefined) return;
  const exit = new Promise((resolve) => child.once('exit', resolve));
  child.kill('SIGINT');
  await exit;
}

/** Time and CPU to receive what a server has ready. */
async function throughput(
  cluster: Cluster,
  directory: string,
  { segments, rounds }: CommitOptions,
  tell: (text: string) => void,
): Promise<string> {
  await cluster.sql("select pg_create_physical_replication_slot(name, true) from unnest(array['a', 'b']) name");
  const before = await cluster.sql('select pg_current_wal_lsn()');
  await cluster.sql('create table if not exists bulk (x text)');
  const written = (): Promise<string> => cluster.sql(`select pg_wal_lsn_diff(pg_current_wal_lsn(), '${before}')`);
  while (Number(await written()) < segments * (16 << 20))
    await cluster.sql('insert into bulk select repeat(md5(i::text), 20) from generate_series(1, 50000) i');
  await cluster.sql('select pg_switch_wal()');
  const end = await cluster.sql('select pg_current_wal_lsn()');
  const megabytes = Number(await written()) / 1e6;
  const found = new Map<string, Usage[]>();
  for (let round = 0; round < rounds; round += 1)
    for (const [title, start] of Object.entries(contendersFor(cluster, before, end))) {
      tell(`receive, round ${round + 1} of ${rounds}: ${title}`);
      const usage = await measure({
        argv: await start(path.join(directory, `bulk-${round}-${title.length}`)),
        environment: cluster.connection,
      });
      found.set(title, [...(found.get(title) ?? []), usage]);
      await cluster.sql('select pg_drop_replication_slot(slot_name) from pg_replication_slots where not active');
    }
  const lines = [...found].map(([title, usages]) => {
    const median = usages.toSorted((one, other) => one.wallSeconds - other.wallSeconds)[Math.floor(usages.length / 2)];
    const { wallSeconds = 0, cpuSeconds = 0, peakRssBytes = 0 } = median ?? {};
    const rss = (peakRssBytes / 1e6).toFixed(0);
    return [title, (megabytes / wallSeconds).toFixed(0), wallSeconds.toFixed(2), cpuSeconds.toFixed(2), rss];
  });
  return `Receiving ${megabytes.toFixed(0)} MB of WAL that is there already:\n\n${table([['receiver', 'MB/s', 'wall s', 'CPU s', 'peak RSS MB'], ...lines])}`;
}

/** Both begin where the WAL was written from, and end behind it. */
function contendersFor(
  cluster: Cluster,
  before: string,
  end: string,
): Record<string, (directory: string) => Promise<string[]>> {
  const slot = `select pg_create_physical_replication_slot`;
  return {
    pg_receivewal: async (directory) => {
      await mkdir(directory);
      const name = await cluster.sql(`select pg_walfile_name('${before}')`);
      // Without a file it would begin at the end of the WAL.
      await run({ argv: ['cp', path.join(cluster.data, 'pg_wal', name), directory] });
      return [path.join(cluster.bin, 'pg_receivewal'), '-D', directory, '--no-loop', '--endpos', end];
    },
    'Keyframe (zstd, local disk)': async (directory) => {
      const config = await configure(cluster, directory, 0);
      // What the archive knows is where it begins: the first segment.
      const name = await cluster.sql(`select pg_walfile_name('${before}')`);
      await run({ argv: [...KEYFRAME, '--config', config, 'wal', 'push', path.join(cluster.data, 'pg_wal', name)] });
      await cluster.sql(`${slot}('keyframe_main', true)`);
      return [...KEYFRAME, '--config', config, 'wal', 'receive', '--until', end];
    },
  };
}
