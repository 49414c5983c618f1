/** What reading WAL for its index costs. @packageDocumentation */
import { readdir, readFile } from 'node:fs/promises';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Lsn, lsn } from '@keyframe/contracts';
import { Cluster, type Major } from '@keyframe/testkit/postgres';
import { createWalLens } from '@keyframe/wal';
import { loadNow } from '../bench.ts';
import { type Command, measure, run } from '../measure.ts';

export interface LensOptions {
  readonly major: Major;
  readonly segments: number;
  readonly rounds: number;
}

const SEGMENT_BYTES = 16 << 20;
const PIECE_BYTES = 1 << 20;
const PASSES = 4;
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const KEYFRAME = [process.execPath, '--conditions=@keyframe/source', path.join(ROOT, 'apps/cli/src/main.ts')] as const;

interface Segments {
  readonly directory: string;
  readonly names: readonly string[];
  readonly start: string;
  readonly end: string;
}

/** What indexing costs, as Markdown. */
export async function lensTables(options: LensOptions, tell: (text: string) => void): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'kf-bench-lens-'));
  try {
    const settings = { max_wal_size: '64GB', wal_keep_size: '64GB', checkpoint_timeout: '1h', wal_level: 'replica' };
    await using cluster = await Cluster.create(options.major, { settings: { ...settings, synchronous_commit: 'off' } });
    await cluster.start();
    tell(`pgbench writes ${options.segments} segments`);
    const segments = await writeWal(cluster, options.segments);
    return await costs(cluster, segments, directory, options, tell);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function writeWal(cluster: Cluster, count: number): Promise<Segments> {
  await cluster.exec('pgbench', ['-i', '-s', '10', '-q']);
  await cluster.sql('checkpoint');
  await cluster.sql('select pg_switch_wal()');
  const start = await cluster.sql('select pg_current_wal_lsn()');
  const first = await cluster.sql(`select pg_walfile_name('${start}'::pg_lsn + 1)`);
  const written = (): Promise<string> => cluster.sql(`select pg_wal_lsn_diff(pg_current_wal_lsn(), '${start}')`);
  while (Number(await written()) < count * SEGMENT_BYTES)
    await cluster.exec('pgbench', ['-n', '-c', '4', '-j', '2', '-T', '5']);
  await cluster.sql('select pg_switch_wal()');
  const end = await cluster.sql('select pg_current_wal_lsn()');
  await cluster.stop();
  const directory = path.join(cluster.data, 'pg_wal');
  const names = (await readdir(directory)).filter((name) => /^[0-9A-F]{24}$/u.test(name) && name >= first).toSorted();
  return { directory, names: names.slice(0, count), start, end };
}

async function costs(
  cluster: Cluster,
  segments: Segments,
  directory: string,
  { segments: count, rounds, major }: LensOptions,
  tell: (text: string) => void,
): Promise<string> {
  const waldump = path.join(cluster.bin, 'pg_waldump');
  const last = segments.names.at(-1) ?? '';
  const dump = (...args: string[]): Command => ({
    argv: [
      'sh',
      '-c',
      'exec "$@" >/dev/null',
      'sh',
      waldump,
      ...args,
      '-p',
      segments.directory,
      segments.names[0] ?? '',
      last,
    ],
  });
  const repository = path.join(directory, 'indexed');
  const config = await archived(cluster, segments, repository);
  const rows: [string, () => Promise<Command>][] = [
    ['pg_waldump (prints every record)', async () => dump()],
    ['pg_waldump --stats=record', async () => dump('--stats=record')],
    [
      'keyframe wal index (reads the archive, stores the index)',
      async () => {
        await rm(path.join(repository, 'store/clusters/main/1/index'), { recursive: true, force: true });
        return { argv: [...KEYFRAME, '--config', config, '--quiet', 'wal', 'index'] };
      },
    ],
  ];
  const found = new Map<string, number[]>();
  const loads: number[] = [];
  for (let round = 0; round < rounds; round += 1)
    for (const [title, command] of rows) {
      tell(`lens, round ${round + 1} of ${rounds}: ${title}`);
      loads.push(loadNow());
      const { cpuSeconds } = await measure(await command());
      found.set(title, [...(found.get(title) ?? []), (cpuSeconds * 1000) / segments.names.length]);
    }
  const inProcess = ['the lens alone (segments in memory)', 'its slowest segment'] as const;
  for (let round = 0; round < rounds; round += 1)
    for (const [index, value] of (await millisecondsOf(segments)).entries()) {
      const title = inProcess[index] ?? '';
      found.set(title, [...(found.get(title) ?? []), value]);
    }
  const stored = await bytesBelow(path.join(repository, 'store/clusters/main/1/wal'));
  const index = await bytesBelow(path.join(repository, 'store/clusters/main/1/index'));
  const lines = [...found].map(([title, each]) => `| ${title} | ${median(each).toFixed(1)} |\n`).join('');
  const about = `PostgreSQL ${major}, ${count} segments of pgbench, medians of ${rounds} rounds; load average ${Math.min(...loads).toFixed(1)} to ${Math.max(...loads).toFixed(1)}. The index takes ${((100 * index) / stored).toFixed(2)} % of the compressed WAL.`;
  return `${about}\n\n| | CPU ms a segment |\n| --- | --: |\n${lines}`;
}

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? 0;

/** A repository that holds the segments. */
async function archived(cluster: Cluster, segments: Segments, directory: string): Promise<string> {
  await mkdir(directory);
  const config = path.join(directory, 'keyframe.json');
  const stores = [{ use: 'fs', directory: path.join(directory, 'store') }];
  const clusters = { main: { source: { url: cluster.url } } };
  await writeFile(
    config,
    JSON.stringify({ clusters, repositories: { vault: { stores } }, state: path.join(directory, 'state') }),
  );
  await run({ argv: [...KEYFRAME, '--config', config, 'repository', 'create'] });
  for (const name of segments.names)
    await run({
      argv: [...KEYFRAME, '--config', config, 'wal', 'push', path.join(segments.directory, name)],
      cwd: cluster.data,
    });
  return config;
}

async function bytesBelow(directory: string): Promise<number> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  const sizes = await Promise.all(
    files.map(async (file) => (await readFile(path.join(file.parentPath, file.name))).length),
  );
  return sizes.reduce((sum, size) => sum + size, 0);
}

/** CPU of reading a segment: the mean, and the most. Each is the best of some passes, since the first ones compile. */
async function millisecondsOf(segments: Segments): Promise<readonly [mean: number, most: number]> {
  let best: number[] = [];
  for (let number = 0; number < PASSES; number += 1) {
    const next = await pass(segments);
    best = next.map((each, index) => Math.min(each, best[index] ?? each));
  }
  return [best.reduce((sum, each) => sum + each, 0) / best.length, Math.max(...best)];
}

async function pass({ directory, names }: Segments): Promise<number[]> {
  const lens = createWalLens({ segmentSizeBytes: SEGMENT_BYTES });
  const milliseconds: number[] = [];
  for (const name of names) {
    const bytes = await readFile(path.join(directory, name));
    const start = startOf(name);
    const before = process.cpuUsage();
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const more = at + PIECE_BYTES < bytes.length;
      const piece = { timeline: 1, start: lsn(start + BigInt(at)), more };
      lens.read(bytes.subarray(at, at + PIECE_BYTES), piece);
    }
    const { user, system } = process.cpuUsage(before);
    milliseconds.push((user + system) / 1000);
  }
  return milliseconds;
}

const startOf = (name: string): Lsn =>
  lsn((BigInt(`0x${name.slice(8, 16)}`) << 32n) + BigInt(`0x${name.slice(16)}`) * BigInt(SEGMENT_BYTES));
