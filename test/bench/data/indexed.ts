/** A repository with many indexed segments, made once and kept between runs. @packageDocumentation */
import { existsSync } from 'node:fs';
import { link, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Lsn, lsn, segmentName } from '@keyframe/contracts';
import zstd from '@keyframe/compress-zstd';
import { encodeOutline, outlineOf, readIndex } from '@keyframe/engine';
import { type EpochArchive, openRepository, type WalIndexContent } from '@keyframe/repository';
import storeFs from '@keyframe/store-fs';
import { testHost } from '@keyframe/testkit';
import { Cluster, type Major } from '@keyframe/testkit/postgres';
import type { SegmentIndex } from '@keyframe/wal';
import { run } from '../measure.ts';

/** What is in it, beside pgbench. */
export interface IndexedFacts {
  readonly segments: number;
  /** Deleted all customers, in one of the first segments. */
  readonly deleted: number;
  /** One of many that are alike, in one of the first segments. */
  readonly alike: number;
  /** A stretch in the middle, of some of these rounds. */
  readonly since: string;
  readonly until: string;
}

/** A repository in the file system, of cluster `main`. */
export interface Indexed extends IndexedFacts {
  readonly store: string;
}

/** Changed whenever it would come out otherwise. */
const EDITION = 2;
const SEGMENT_BYTES = 16n << 20n;
/** Segments that a server really wrote; the others tell of the same with later LSNs, times and xids. */
const REAL = 12;
const GROUP = 64n;
const SETTINGS = { max_wal_size: '64GB', checkpoint_timeout: '1h', wal_level: 'replica', autovacuum: 'off' } as const;

/** Makes it, or finds what an earlier run made. */
export async function ensureIndexed(
  cache: string,
  { major, segments, argv }: { readonly major: Major; readonly segments: number; readonly argv: readonly string[] },
  tell: (text: string) => void,
): Promise<Indexed> {
  const home = path.join(cache, `indexed-${EDITION}-pg${major}-${segments}`);
  if (!existsSync(home)) {
    tell(`making an archive of ${segments} indexed segments of PostgreSQL ${major}`);
    await mkdir(cache, { recursive: true });
    const partial = await mkdtemp(path.join(cache, '.making-'));
    try {
      const deleted = await writeReal(partial, path.join(partial, 'store'), { major, argv }, tell);
      const facts = await make(path.join(partial, 'store'), deleted, segments);
      await writeFile(path.join(partial, 'facts.json'), JSON.stringify(facts));
      await rename(partial, home);
    } finally {
      await rm(partial, { recursive: true, force: true });
    }
  }
  const facts = JSON.parse(await readFile(path.join(home, 'facts.json'), 'utf8')) as IndexedFacts;
  return { ...facts, store: path.join(home, 'store') };
}

async function make(store: string, deleted: number, segments: number): Promise<IndexedFacts> {
  const archive = await openAt(store);
  const real: SegmentIndex[] = [];
  const history = { timeline: 1, ancestors: [] };
  for await (const { index } of readIndex(archive, { history, segmentSizeBytes: Number(SEGMENT_BYTES) }))
    if (index !== undefined) real.push(index);
  const opened = await archive.index.open((await archive.index.list()).at(-1) ?? fail('nothing was indexed'));
  const [blocks, state] = [(await opened?.blocks()) ?? [], await opened?.state()];
  await archive.index.remove(await archive.index.list());
  const later = new Repeated(real);
  const at = (number: number): SegmentIndex => real[number] ?? later.at(number);
  const first = (real[0]?.startLsn ?? 0n) / SEGMENT_BYTES;
  for (let number = 0; number < segments;) {
    const group = GROUP - ((first + BigInt(number)) % GROUP);
    const own = Array.from({ length: Math.min(Number(group), segments - number) }, (_, each) => at(number + each));
    const outline = encodeOutline(outlineOf(own));
    const content: WalIndexContent = {
      timeline: 1,
      segmentSizeBytes: Number(SEGMENT_BYTES),
      segments: own,
      blocks,
      state,
      outline,
    };
    await archive.index.add(content);
    number += own.length;
  }
  await placeSegments(store, first, segments);
  const alike = real.flatMap(({ folded }) => folded)[0]?.lowestXid ?? fail('no transactions that are alike');
  return { segments, deleted, alike, ...later.stretch(Math.floor(segments / real.length / 2)) };
}

/** A server that archives by itself, a backup of it, and the index. Returns the xid that deleted all customers. */
async function writeReal(
  home: string,
  store: string,
  { major, argv }: { readonly major: Major; readonly argv: readonly string[] },
  tell: (text: string) => void,
): Promise<number> {
  const config = path.join(home, 'keyframe.json');
  const keyframe = [...argv, '--config', config];
  const push = [...keyframe, 'wal', 'push', '%p'].map((word) => `"${word}"`).join(' ');
  await using cluster = await Cluster.create(major, {
    settings: { ...SETTINGS, archive_mode: 'on', archive_command: push, synchronous_commit: 'off' },
  });
  const stores = [{ use: 'fs', directory: store }];
  const clusters = { main: { source: { url: cluster.url } } };
  const state = path.join(home, 'state');
  await writeFile(config, JSON.stringify({ clusters, repositories: { vault: { stores } }, state }));
  await run({ argv: [...keyframe, 'repository', 'create'] });
  await cluster.start();
  await cluster.exec('pgbench', ['-i', '-s', '10', '-q']);
  await cluster.sql(
    'create table customers as select i as id, md5(i::text) as name from generate_series(1, 10000) i; create table orders (id int); analyze customers',
  );
  await run({ argv: [...keyframe, '--quiet', 'backup'] });
  const start = await cluster.sql('select pg_current_wal_lsn()');
  const written = async (): Promise<number> =>
    Number(await cluster.sql(`select pg_wal_lsn_diff(pg_current_wal_lsn(), '${start}')`));
  const work = async (count: number): Promise<void> => {
    while ((await written()) < count * Number(SEGMENT_BYTES))
      await cluster.exec('pgbench', ['-n', '-c', '4', '-j', '2', '-T', '2']);
  };
  await work(3);
  const xid = await cluster.sql(
    'with gone as (delete from customers returning 1) select pg_current_xact_id()::text from gone limit 1',
  );
  await cluster.sql('alter table orders add column note text');
  await work(REAL);
  tell('waiting until all of it is archived');
  const last = await cluster.sql('select pg_walfile_name(pg_switch_wal())');
  while ((await cluster.sql('select coalesce(last_archived_wal, $$$$) from pg_stat_archiver')) < last) await sleep(500);
  await run({ argv: [...keyframe, '--quiet', 'wal', 'index'] });
  return Number(xid);
}

async function openAt(directory: string): Promise<EpochArchive> {
  const host = testHost();
  const store = storeFs.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, host);
  const repository = openRepository({
    store,
    compressor: zstd.create({ level: 1 }, host),
    compressors: [],
    now: () => new Date(),
  });
  return repository.cluster('main').at(1);
}

/** Between two rounds. */
const PAUSE_MICROS = 1_000_000n;

/** The real segments again and again, but those in which something rare happened. */
class Repeated {
  readonly #first: SegmentIndex;
  readonly #count: number;
  readonly #segments: readonly SegmentIndex[];
  readonly #micros: bigint;
  readonly #xids: number;

  constructor(real: readonly SegmentIndex[]) {
    const isOrdinary = ({ transactions, folded, fault, notes }: SegmentIndex): boolean =>
      folded.length > 0 &&
      fault === undefined &&
      transactions.every(({ partial, dropped, created }) => !partial && dropped.length + created.length === 0) &&
      !Buffer.from(notes ?? []).includes('customers') &&
      !Buffer.from(notes ?? []).includes('orders');
    this.#segments = real.filter(isOrdinary);
    const [first, last] = [real[0], real.at(-1)];
    if (first === undefined || last === undefined || this.#segments.length === 0) fail('no ordinary segment');
    this.#first = first;
    this.#count = real.length;
    this.#micros = (last.times?.last ?? 0n) - (first.times?.first ?? 0n) + PAUSE_MICROS;
    this.#xids = (last.xids?.highest ?? 0) - (first.xids?.lowest ?? 0);
  }

  /** From a pause to another one: no line of many is cut, for their WAL is not there to be read again. */
  stretch(round: number): { readonly since: string; readonly until: string } {
    const since = (this.#first.times?.first ?? 0n) + BigInt(round) * this.#micros - PAUSE_MICROS / 2n;
    return { since: timeOf(since), until: timeOf(since + 4n * this.#micros) };
  }

  /** What the segment of that number tells. */
  at(number: number): SegmentIndex {
    const index = this.#segments[number % this.#segments.length] ?? this.#first;
    const round = Math.floor(number / this.#count);
    const startLsn = lsn(this.#first.startLsn + BigInt(number) * SEGMENT_BYTES);
    const by = startLsn - index.startLsn;
    const at = (position: Lsn): Lsn => lsn(position + by);
    const time = (micros: bigint): bigint => micros + BigInt(round) * this.#micros;
    const xid = (each: number): number => (each + round * this.#xids) >>> 0;
    return {
      ...index,
      startLsn,
      endLsn: at(index.endLsn),
      facts: [],
      times: index.times && { first: time(index.times.first), last: time(index.times.last) },
      xids: index.xids && { lowest: xid(index.xids.lowest), highest: xid(index.xids.highest) },
      transactions: index.transactions.map((each) => ({
        ...each,
        xid: xid(each.xid),
        lsn: at(each.lsn),
        endLsn: at(each.endLsn),
        firstLsn: startLsn,
        timeMicros: time(each.timeMicros),
      })),
      // oxlint-disable-next-line oxc/no-map-spread -- the index stays as it is for the next copy
      folded: index.folded.map((each) => ({
        ...each,
        firstLsn: at(each.firstLsn),
        lastLsn: at(each.lastLsn),
        firstTimeMicros: time(each.firstTimeMicros),
        lastTimeMicros: time(each.lastTimeMicros),
        lowestXid: xid(each.lowestXid),
        highestXid: xid(each.highestXid),
      })),
    };
  }
}

/** Puts something under the names of segments that nobody wrote, for a search lists them; it never reads them. */
async function placeSegments(store: string, first: bigint, segments: number): Promise<void> {
  const names = await readdir(store, { recursive: true });
  const isSegment = (name: string): boolean => /\/wal\/.*\/[0-9A-F]{24}[^/]*$/u.test(`/${name}`);
  const known = names.filter(isSegment).toSorted();
  const model = known[0] ?? fail('nothing is archived');
  const [own = ''] = /[0-9A-F]{24}/u.exec(model) ?? [];
  const there = new Set(known);
  for (let number = 0; number < segments; number += 1) {
    const name = segmentName(1, first + BigInt(number), Number(SEGMENT_BYTES));
    const file = path.join(
      path.dirname(path.dirname(model)),
      name.slice(8, 16),
      path.basename(model).replace(own, name),
    );
    if (there.has(file)) continue;
    await mkdir(path.dirname(path.join(store, file)), { recursive: true });
    await link(path.join(store, model), path.join(store, file));
  }
}

const timeOf = (micros: bigint): string => new Date(Number(micros / 1000n)).toISOString();

function fail(what: string): never {
  throw new Error(what);
}
