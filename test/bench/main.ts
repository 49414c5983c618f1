/** `npm run bench`: Keyframe beside its peers, on the same data, in one run. Never a gate. @packageDocumentation */
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { cpus, homedir, tmpdir, totalmem } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { Cluster, type Major } from '@keyframe/testkit/postgres';
import { type Bench, loadNow } from './bench.ts';
import type { Contender } from './contender.ts';
import { barman, type Barman, barmanIncrements, ensureBarman } from './contenders/barman.ts';
import { bundled, fromSource, keyframe, keyframeIncrements, type Variant } from './contenders/keyframe.ts';
import { combined, compressedTar, copiedWal, plainCopy, zstdFault } from './contenders/pg-basebackup.ts';
import { pgBackRest, pgBackRestAsync, pgBackRestFault, pgBackRestVersion } from './contenders/pgbackrest.ts';
import { copyDirectory, type Dataset, type DatasetParameters, ensureDataset } from './data/dataset.ts';
import { contents, run } from './measure.ts';
import { type BenchOptions, HELP, parseOptions } from './options.ts';
import { report } from './report.ts';
import type { Sample } from './samples.ts';
import { backupAndRestore } from './scenarios/backup.ts';
import { days, incrementsOf } from './scenarios/increments.ts';
import { limits } from './scenarios/limits.ts';
import { memory } from './scenarios/memory.ts';
import { commitTables, receiveTable } from './scenarios/commit.ts';
import { lensTables } from './scenarios/lens.ts';
import { searchTable } from './scenarios/search.ts';
import { starts } from './scenarios/start.ts';
import { answered } from './scenarios/answered.ts';
import { backlogs } from './scenarios/backlog.ts';
import { pushAndReplay, SEGMENTS_AGAIN } from './scenarios/wal.ts';

const CACHE = path.join(process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache'), 'keyframe');

const FORMATTER = fileURLToPath(new URL('../../node_modules/.bin/oxfmt', import.meta.url));

const tell = (text: string): void => void process.stderr.write(`${text}\n`);

/** Rows of Keyframe in the scenarios about increments. */
const VARIANTS: readonly Variant[] = [
  { reader: 'stream' },
  { reader: 'stream', encrypted: true },
  { reader: 'stream-incremental' },
  { reader: 'local' },
  { reader: 'stream', link: { latencyMs: 5, bytesPerSecond: 125e6 } },
];

interface Peers {
  readonly barman: Barman;
  readonly pgBackRest: string | undefined;
  readonly clientBin: string;
  readonly zstdFault: string | undefined;
}

async function findPeers(major: Major, bin: string): Promise<Peers> {
  const installed = `/usr/lib/postgresql/${major}/bin`;
  const own = await zstdFault(bin);
  const other = own === undefined || !existsSync(installed) ? undefined : await zstdFault(installed);
  const useOther = own !== undefined && existsSync(installed) && other === undefined;
  const fault = own === undefined || useOther ? undefined : 'no pg_basebackup here compresses with zstd';
  return {
    barman: await ensureBarman(path.join(CACHE, 'peers')),
    pgBackRest: await pgBackRestVersion(),
    clientBin: useOther ? installed : bin,
    zstdFault: fault,
  };
}

async function contendersOf(
  { major, levels, only, contenders }: BenchOptions,
  peers: Peers,
  home: string,
): Promise<Contender[]> {
  const bundle = await bundled(home);
  const missing = pgBackRestFault(peers.pgBackRest, major);
  const [first = 1] = levels;
  const all = [
    ...levels.flatMap((level) => [
      keyframe(level, bundle),
      ...(level === first && only?.has('archive') !== true ? [keyframe(level, fromSource())] : []),
      pgBackRest(level, peers.pgBackRest, missing),
      ...(level === first ? [pgBackRestAsync(level, peers.pgBackRest, missing)] : []),
      barman(level, peers.barman, peers.zstdFault),
      compressedTar(level, peers.zstdFault),
      ...VARIANTS.map((variant) => keyframeIncrements(level, bundle, major, variant)),
      combined(level, major, peers.zstdFault),
    ]),
    barmanIncrements(peers.barman, major),
    plainCopy,
    copiedWal,
  ];
  const onlyBackups = (each: Contender): Contender =>
    each.level > 0 && each.level !== first ? { ...each, wal: false } : each;
  return all.map(onlyBackups).filter(({ title }) => contenders === undefined || contenders.test(title));
}

interface Measured {
  readonly contenders: readonly Contender[];
  readonly samples: readonly Sample[];
  readonly failures: ReadonlyMap<string, string>;
}

async function measureAll(options: BenchOptions, dataset: Dataset): Promise<Measured> {
  const samples: Sample[] = [];
  const failures = new Map<string, string>();
  const directory = await mkdtemp(path.join(tmpdir(), 'kf-bench-'));
  try {
    const data = path.join(directory, 'data');
    await copyDirectory(dataset.base, data);
    await using cluster = await Cluster.attach(data);
    await cluster.start();
    const peers = await findPeers(options.major, cluster.bin);
    const contenders = await contendersOf(options, peers, path.join(directory, 'keyframe'));
    const { rounds } = options;
    const record = (sample: Sample): void => void samples.push(sample);
    const failed = (title: string, error: unknown): void => {
      tell(`${title}: ${String(error)}`);
      // The command line names this machine's directories; its last words tell what went wrong.
      failures.set(title, String(error).trim().split('\n').at(-1) ?? '');
    };
    const { clientBin } = peers;
    const keeps = await hasRoom(directory, dataset, contenders.length * rounds);
    const bench: Bench = { cluster, dataset, contenders, clientBin, directory, keeps, rounds, tell, record, failed };
    const wants = (name: string): boolean => options.only?.has(name) ?? true;
    if (wants('limits')) await limits(bench, options.levels);
    if (wants('backup')) await backupAndRestore(bench);
    if (wants('increment')) await incrementsOf(bench);
    if (wants('days')) await days(bench);
    if (wants('memory')) await memory(bench, options.major, options.gigabytes);
    await aboutWal(bench, wants);
    if (wants('start'))
      await starts(bench, {
        barman: peers.barman.missing === undefined ? peers.barman.program : undefined,
        pgBackRest: peers.pgBackRest,
      });
    return { contenders, samples, failures };
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

async function aboutWal(bench: Bench, wants: (name: string) => boolean): Promise<void> {
  const all = wants('archive');
  if (all || wants('backlog')) await backlogs(bench);
  if (all || wants('answered')) await answered(bench);
  if (all || wants('wal')) await pushAndReplay(bench, !wants('wal'));
}

/** A run leaves at most the data directory three times: restored, replayed, and as a plain copy. */
async function hasRoom(directory: string, { base }: Dataset, runs: number): Promise<boolean> {
  const { bavail, bsize } = await statfs(directory);
  const { bytes } = await contents(base);
  const fits = bavail * bsize > 3 * runs * bytes;
  if (!fits) tell('too little room to keep what every run makes: the clean-up may disturb the next run');
  return fits;
}

async function heading(options: BenchOptions, dataset: Dataset, samples: readonly Sample[]): Promise<string> {
  const { bytes, files } = await contents(dataset.base);
  const loads = samples.map(({ load }) => load).toSorted((a, b) => a - b);
  const [low = 0, high = 0] = [loads[0], loads.at(-1)];
  const cores = cpus();
  const facts = [
    new Date().toISOString().slice(0, 10),
    `${cores.length} cores (${cores[0]?.model.trim() ?? 'unknown'}), ${Math.round(totalmem() / 2 ** 30)} GiB of memory, local disk`,
    `Node.js ${process.versions.node}`,
    `PostgreSQL ${options.major}, data checksums on, ${(bytes / 1e9).toFixed(2)} GB in ${files} files`,
    `medians of ${options.rounds} rounds, contenders in turn`,
    `load average ${low.toFixed(1)} to ${high.toFixed(1)} when a run began`,
  ];
  return `${facts.join('; ')}.\n\n`;
}

async function update(file: string, name: string, text: string): Promise<void> {
  const page = await readFile(file, 'utf8');
  const [begin, end] = [`<!-- ${name}: begin -->`, `<!-- ${name}: end -->`];
  const [before, rest] = page.split(begin);
  const after = rest?.split(end)[1];
  if (before === undefined || after === undefined) throw new Error(`${file} has no ${begin} … ${end}`);
  await writeFile(file, `${before}${begin}\n\n${text}\n${end}${after}`);
  await run({ argv: [FORMATTER, path.resolve(file)] });
}

/** What is generated needs no large database beside it. */
function datasetOf(options: BenchOptions): DatasetParameters {
  const isGenerated = options.only?.size === 1 && options.only.has('memory');
  return isGenerated ? { major: options.major, gigabytes: 0.05, segments: 4 } : options;
}

async function main(): Promise<void> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) return void process.stdout.write(HELP);
  tell(`load average ${loadNow().toFixed(2)}`);
  // Needs no data of the others, and takes long: only when it is asked for.
  if (options.only?.has('commit') === true) {
    const tables = await commitTables(options, tell);
    process.stdout.write(tables);
    if (options.update !== undefined) await update(options.update, options.mark, tables);
    return;
  }
  if (options.only?.has('lens') === true) {
    const tables = await lensTables(options, tell);
    process.stdout.write(tables);
    if (options.update !== undefined) await update(options.update, options.mark, tables);
    return;
  }
  if (options.only?.has('search') === true) {
    const table = await searchTable(path.join(CACHE, 'bench'), options, tell);
    process.stdout.write(table);
    if (options.update !== undefined) await update(options.update, options.mark, table);
    return;
  }
  const dataset = await ensureDataset(path.join(CACHE, 'bench'), datasetOf(options), tell);
  const measured = await measureAll(options, dataset);
  const segments = dataset.segments.length;
  const counts = { segments, segmentsAgain: Math.min(segments, SEGMENTS_AGAIN) };
  const received =
    options.only?.has('archive') === true ? `\n### Receivers\n\n${await receiveTable(options, tell)}` : '';
  const text = (await heading(options, dataset, measured.samples)) + report({ ...measured, ...counts }) + received;
  process.stdout.write(text);
  if (measured.failures.size > 0) process.exitCode = 1;
  if (options.update !== undefined) await update(options.update, options.mark, text);
}

await main();
