import { lsn } from '@keyframe/contracts';
import { type EpochArchive, openRepository } from '@keyframe/repository';
import { createMemoryStore } from '@keyframe/testkit';
import type { SegmentIndex, TransactionEffect } from '@keyframe/wal';
import * as fc from 'fast-check';
import { beforeEach, expect, it, vi } from 'vitest';
import { EntryReader } from './entries.ts';
import { entryFilter, type LogFilter } from './filter.ts';
import type { HistoryRange } from './history-range.ts';
import { encodeOutline, outlineOf } from './outline.ts';
import { LogSearch } from './search.ts';

const SIZE = 1 << 20;
const HISTORY = { timeline: 1, ancestors: [] };
const [OBJECTS, EACH] = [5, 2];

/** What a transaction did, in small numbers. */
interface Did {
  readonly table: number;
  readonly rows: number;
  readonly verb: 'inserted' | 'updated' | 'deleted';
  readonly isDefinition: boolean;
}

const did: fc.Arbitrary<Did> = fc.record({
  table: fc.integer({ min: 0, max: 6 }),
  rows: fc.constantFrom(1, 3, 150, 5000),
  verb: fc.constantFrom<Did['verb']>('inserted', 'updated', 'deleted'),
  isDefinition: fc.boolean(),
});
const filter: fc.Arbitrary<LogFilter> = fc.record(
  {
    since: fc.bigInt({ min: 0n, max: 50n }),
    until: fc.bigInt({ min: 0n, max: 50n }),
    table: fc.constantFrom('t1', 'public.t2', 'public.*', 'none', 't3', 'relation *', 't9'),
    minRows: fc.constantFrom(1, 100, 4000, 9000),
    ddl: fc.boolean(),
    xid: fc.integer({ min: 0, max: 50 }).map((each) => (FIRST_XID + each) >>> 0),
    all: fc.boolean(),
  },
  { requiredKeys: [] },
);

/** Xids go round in the middle. */
const FIRST_XID = 0xff_ff_ff_f0;

let archive: EpochArchive;

beforeEach(async () => {
  const compressor = {
    id: 'copy',
    compress: async (bytes: Uint8Array) => bytes,
    decompress: async (bytes: Uint8Array) => bytes,
  };
  const repository = openRepository({
    store: createMemoryStore(),
    compressor,
    compressors: [],
    now: () => new Date(0),
  });
  await repository.init();
  archive = await repository.cluster('main').create({ systemIdentifier: '7', postgresVersion: 170_000 });
});

function segmentOf(number: number, all: readonly Did[]): SegmentIndex {
  const startLsn = lsn(BigInt(number + 2) * BigInt(SIZE));
  const relation = (table: number) => ({ tablespace: 1663, database: 5, relfilenode: 20_000 + table });
  const transactions = all.map(({ table, rows, verb }, index): TransactionEffect => {
    const at = lsn(startLsn + BigInt(index * 100));
    const none = { subtransactions: [], created: [], dropped: [], truncated: [], messages: [], partial: false };
    const tables = [{ relation: relation(table), inserted: 0, updated: 0, deleted: 0, pages: 1, [verb]: rows }];
    const order = number * 5 + index;
    return {
      ...none,
      xid: (FIRST_XID + order) >>> 0,
      topXid: 0,
      prepared: false,
      database: 5,
      tables,
      outcome: order % 7 === 0 ? 'abort' : 'commit',
      lsn: at,
      endLsn: lsn(at + 34n),
      firstLsn: at,
      timeMicros: BigInt(order),
    };
  });
  const stored = {
    format: 1,
    // Of the first objects names are not known yet; of one table never.
    relations: number < 4 ? [] : [1, 2, 3, 4, 5].map((each) => named(each)),
    transactions: transactions.flatMap(({ xid, lsn: at }, index) =>
      all[index]?.isDefinition === true && number >= 4
        ? [[xid, `0/${at.toString(16)}`, [{ verb: 'drop', object: 'TABLE', name: 'public.t9', rows: 4000 }]]]
        : [],
    ),
  };
  const [first, last] = [transactions[0]?.timeMicros, transactions.at(-1)?.timeMicros];
  return {
    timeline: 1,
    startLsn,
    endLsn: lsn(startLsn + BigInt(SIZE)),
    records: 1,
    commits: all.length,
    aborts: 0,
    xids: undefined,
    transactions,
    folded: [],
    relations: [],
    facts: [],
    fault: undefined,
    times: first === undefined || last === undefined ? undefined : { first, last },
    notes: Buffer.from(JSON.stringify(stored)),
  };
}

const named = (table: number) => [1663, 5, 20_000 + table, table, 'shop', 'public', `t${table}`, 'rp', 10_000];

async function store(segments: readonly SegmentIndex[]): Promise<void> {
  await archive.index.remove(await archive.index.list());
  for (let at = 0; at < segments.length; at += EACH) {
    const own = segments.slice(at, at + EACH);
    // One of them has no outline, as those of the first version.
    const outline = at === EACH ? undefined : encodeOutline(outlineOf(own));
    const content = { timeline: 1, segmentSizeBytes: SIZE, blocks: [], state: undefined };
    await archive.index.add({ ...content, segments: own, outline });
  }
}

async function search(asked: LogFilter, limit: number) {
  const inventory = await archive.wal.inventory({ segmentSizeBytes: SIZE });
  const range: HistoryRange = { archive, history: HISTORY, inventory, since: asked.since, until: asked.until };
  const one = new LogSearch(range, asked, {});
  await one.survey();
  return { ...(await one.gather(limit)), unnamedTables: one.unnamedTables };
}

it('finds what reading everything finds, marked alike, and the newest of it', async () => {
  const lists = fc.array(fc.array(did, { maxLength: 4 }), { minLength: OBJECTS * EACH, maxLength: OBJECTS * EACH });
  await fc.assert(
    fc.asyncProperty(lists, filter, fc.constantFrom(1, 3, 1000), async (all, asked, limit) => {
      const segments = all.map((each, number) => segmentOf(number, each));
      await store(segments);
      const reader = new EntryReader();
      const read = segments.flatMap((segment) => reader.read(segment));
      const expected = read.map((entry) => reader.named(entry)).filter(entryFilter(asked));
      const found = await search(asked, limit);
      const plain = ({ entries }: { entries: readonly object[] }): string =>
        JSON.stringify(entries, (_, value: unknown) => (typeof value === 'bigint' ? value.toString() : value));
      expect(plain(found)).toBe(plain({ entries: expected.slice(-limit) }));
      const omitted = Math.max(0, expected.length - limit);
      // What was not looked into is not counted.
      expect(found.omitted).toBe(found.passedSegments > 0 ? Math.min(omitted, found.omitted) : omitted);
    }),
    { numRuns: 40 },
  );
});

it('reads no details of objects in which nothing can be', async () => {
  const insert: Did = { table: 1, rows: 3, verb: 'inserted', isDefinition: false };
  const lists = Array.from({ length: OBJECTS * EACH }, (_, number) =>
    number === 5 ? [insert, { ...insert, table: 2 }] : [insert],
  );
  await store(lists.map((each, number) => segmentOf(number, each)));
  const details = vi.fn<() => void>();
  const open = archive.index.open.bind(archive.index);
  vi.spyOn(archive.index, 'open').mockImplementation(async (...given) => {
    const opened = await open(...given);
    if (opened !== undefined) vi.spyOn(opened, 'load').mockImplementation(async () => details());
    return opened;
  });
  const found = await search({ table: 't2' }, 10);
  expect(found.entries).toHaveLength(1);
  // The one that holds it, and the one without an outline.
  expect(details).toHaveBeenCalledTimes(2);
});

it('counts tables of which no name is known', async () => {
  const zero: Did = { table: 0, rows: 3, verb: 'inserted', isDefinition: false };
  const one = { ...zero, table: 1 };
  await store(Array.from({ length: OBJECTS * EACH }, (_, number) => segmentOf(number, [zero, one])));
  expect(await search({}, 1000)).toMatchObject({ unnamedTables: 1 });
});
