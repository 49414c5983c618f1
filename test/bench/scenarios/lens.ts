/** What reading WAL for its index costs, and how long searching it takes. @packageDocumentation */
import { readdir, readFile } from 'node:fs/promises';
import { mkdtemp, mkdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { type Compressor, type Lsn, lsn, type Store } from '@keyframe/contracts';
import { openIndexCache, readIndex } from '@keyframe/engine';
import { type EpochArchive, openRepository } from '@keyframe/repository';
import { createMemoryStore, testHost } from '@keyframe/testkit';
import { Cluster, type Major } from '@keyframe/testkit/postgres';
import zstd from '@keyframe/compress-zstd';
import { createWalLens, type SegmentIndex } from '@keyframe/wal';
import { loadNow } from '../bench.ts';
import { type Command, measure, run } from '../measure.ts';

export interface LensOptions {
  readonly major: Major;
  readonly segments: number;
  readonly rounds: number;
}

const SEGMENT_BYTES = 16 << 20;
const PIECE_BYTES = 1 << 20;
const GROUP = 64;
/** Segments that are searched. */
const SEARCHED = 10_000;
const LATENCY_MS = 20;
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const KEYFRAME = [process.execPath, '--conditions=@keyframe/source', path.join(ROOT, 'apps/cli/src/main.ts')] as const;

interface Segments {
  readonly directory: string;
  readonly names: readonly string[];
  readonly start: string;
  readonly end: string;
}

/** Both tables, as Markdown. */
export async function lensTables(options: LensOptions, tell: (text: string) => void): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'kf-bench-lens-'));
  try {
    const settings = { max_wal_size: '64GB', wal_keep_size: '64GB', checkpoint_timeout: '1h', wal_level: 'replica' };
    await using cluster = await Cluster.create(options.major, { settings: { ...settings, synchronous_commit: 'off' } });
    await cluster.start();
    tell(`pgbench writes ${options.segments} segments`);
    const segments = await writeWal(cluster, options.segments);
    const cost = await costs(cluster, segments, directory, options, tell);
    const search = await searches(segments, directory, tell);
    return `${cost}\n${search}`;
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
  const inProcess = 'the lens alone (segments in memory)';
  for (let round = 0; round < rounds; round += 1)
    found.set(inProcess, [...(found.get(inProcess) ?? []), (await indexesOf(segments)).milliseconds]);
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

/** What the segments tell, and what that cost. */
async function indexesOf({ directory, names }: Segments): Promise<{ indexes: SegmentIndex[]; milliseconds: number }> {
  const lens = createWalLens({ segmentSizeBytes: SEGMENT_BYTES });
  const indexes: SegmentIndex[] = [];
  let micros = 0;
  for (const name of names) {
    const bytes = await readFile(path.join(directory, name));
    const start = startOf(name);
    const before = process.cpuUsage();
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      const more = at + PIECE_BYTES < bytes.length;
      const piece = { timeline: 1, start: lsn(start + BigInt(at)), more };
      indexes.push(...[lens.read(bytes.subarray(at, at + PIECE_BYTES), piece) ?? []].flat());
    }
    const { user, system } = process.cpuUsage(before);
    micros += user + system;
  }
  return { indexes, milliseconds: micros / 1000 / names.length };
}

const startOf = (name: string): Lsn =>
  lsn((BigInt(`0x${name.slice(8, 16)}`) << 32n) + BigInt(`0x${name.slice(16)}`) * BigInt(SEGMENT_BYTES));

/** Searches an index made of real segments, told again and again with later LSNs, times and xids. */
async function searches(segments: Segments, directory: string, tell: (text: string) => void): Promise<string> {
  tell(`an index of ${SEARCHED} segments`);
  const { indexes } = await indexesOf(segments);
  const inner = createMemoryStore();
  const { archive, id } = await archiveOver(inner, false);
  // Until the server says which transactions run, the first ones may have begun before: those are told one by one.
  const copies = indexes.filter(({ transactions }) => transactions.every(({ partial }) => !partial)).slice(0, -1);
  if (copies.length === 0) throw new Error('too few segments: there must be a checkpoint among them');
  for (let group = 0; group * GROUP < SEARCHED; group += 1) {
    const numbers = Array.from(
      { length: Math.min(GROUP, SEARCHED - group * GROUP) },
      (_, each) => group * GROUP + each,
    );
    const repeated = numbers.flatMap((number) => {
      const index = copies[number % copies.length];
      return index === undefined ? [] : [shifted(index, number)];
    });
    await archive.index.add({
      timeline: 1,
      segmentSizeBytes: SEGMENT_BYTES,
      segments: repeated,
      blocks: [],
      state: undefined,
    });
  }
  const far = (await archiveOver(slow(inner), true)).archive;
  const cache = openIndexCache(directory, id, far);
  const [cold, warm] = [await searched(far, cache), await searched(far, cache)];
  const row = (title: string, { seconds, found }: { seconds: number; found: number }): string =>
    `| ${title} | ${seconds.toFixed(2)} | ${found} |\n`;
  const about = `Every transaction of ${SEARCHED} indexed segments looked at, and those counted that are told by themselves. The index is made of ${copies.length} segments of the pgbench run, repeated with later LSNs and times.`;
  return `${about}\n\n| | seconds | transactions |\n| --- | --: | --: |\n${row(`nothing read before, store ${LATENCY_MS} ms away`, cold)}${row('read before', warm)}`;
}

function shifted(index: SegmentIndex, number: number): SegmentIndex {
  const startLsn = lsn(BigInt(number + 1) * BigInt(SEGMENT_BYTES));
  const by = startLsn - index.startLsn;
  const later = BigInt(number) * 1_000_000n;
  const at = (position: Lsn): Lsn => lsn(position + by);
  return {
    ...index,
    startLsn,
    endLsn: at(index.endLsn),
    facts: [],
    times: index.times && { first: index.times.first + later, last: index.times.last + later },
    transactions: index.transactions.map((each) => ({
      ...each,
      lsn: at(each.lsn),
      endLsn: at(each.endLsn),
      firstLsn: startLsn,
      timeMicros: each.timeMicros + later,
    })),
    folded: index.folded.map((each) => ({ ...each, firstLsn: at(each.firstLsn), lastLsn: at(each.lastLsn) })),
  };
}

async function archiveOver(store: Store, isThere: boolean): Promise<{ archive: EpochArchive; id: string }> {
  const compressor: Compressor = zstd.create({ level: 1 }, testHost());
  const repository = openRepository({ store, compressor, compressors: [], now: () => new Date() });
  if (!isThere) await repository.init();
  const { id } = await repository.identity();
  const archive = await repository.cluster('main').create({ systemIdentifier: '7', postgresVersion: 180_000 });
  return { archive, id };
}

/** The same store, far away. */
function slow(inner: Store): Store {
  return {
    ...inner,
    get: async (key, given) => {
      await sleep(LATENCY_MS);
      return inner.get(key, given);
    },
    async *list(prefix, given) {
      await sleep(LATENCY_MS);
      yield* inner.list(prefix, given);
    },
  };
}

async function searched(
  archive: EpochArchive,
  cache: ReturnType<typeof openIndexCache>,
): Promise<{ readonly seconds: number; readonly found: number }> {
  const history = { timeline: 1, ancestors: [] };
  const started = performance.now();
  let found = 0;
  for await (const { index } of readIndex(archive, { history, segmentSizeBytes: SEGMENT_BYTES, cache }))
    found += index?.transactions.length ?? 0;
  return { seconds: (performance.now() - started) / 1000, found };
}
