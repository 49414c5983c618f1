import { createMemoryStore } from '@keyframe/testkit';
import { beforeAll, describe, expect, it } from 'vitest';
import { digestOf, FACTS, INTENT, openArchive, restoreTree } from '../../test/support.ts';
import type { BackupRecord, BackupWriter, EpochArchive, FileSink } from '../index.ts';

const PAGE_BYTES = 8192;
const PAGES = 640;
const MIB = 1 << 20;
const CHURN = 0.02;
const DAYS = 100;

/** Numbers that are the same in every run. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_103_515_245 + 12_345) % 2_147_483_648;
    return state / 2_147_483_648;
  };
}

/** A file of pages that compress to about a third, whose pages change one by one. */
class Relation {
  readonly content: Buffer = Buffer.alloc(PAGES * PAGE_BYTES);
  readonly #random = seeded(7);

  constructor() {
    for (let page = 0; page < PAGES; page += 1) this.#change(page);
  }

  /** Changes a share of the pages, evenly spread over the first `hot` of the file. */
  churn(share: number, hot: number): ReadonlySet<number> {
    const dirty = new Set<number>();
    while (dirty.size < PAGES * share) dirty.add(Math.floor(this.#random() * PAGES * hot));
    for (const page of dirty) this.#change(page);
    return dirty;
  }

  #change(page: number): void {
    for (let at = page * PAGE_BYTES; at < (page + 1) * PAGE_BYTES; at += 24)
      this.content.writeDoubleLE(this.#random(), at);
  }
}

async function keepOrWrite(sink: FileSink, content: Buffer, dirty: ReadonlySet<number>, views: boolean): Promise<void> {
  for (let page = 0; page < PAGES; page += 1) {
    const view = content.subarray(page * PAGE_BYTES, (page + 1) * PAGE_BYTES);
    await (dirty.has(page) ? sink.write(view) : sink.keep(PAGE_BYTES, views ? view : undefined));
  }
  await sink.end();
}

/** A day's backup of each of many days. */
async function live(days: number, { hot, views }: { readonly hot: number; readonly views: boolean }) {
  let seconds = 0;
  const now = (): Date => new Date(Date.UTC(2026, 0, 1) + (seconds += 86_400) * 1000);
  const packs = { packBytes: MIB, bundlePackBytes: MIB };
  const archive: EpochArchive = await openArchive(createMemoryStore(), { now, tuning: packs });
  const relation = new Relation();
  const entry = { path: 'base/1/16384', mode: 0o600, modifiedAtSeconds: 0, sizeBytes: relation.content.length };
  const publish = async (writer: BackupWriter): Promise<BackupRecord> => writer.publish(await writer.finish(FACTS));
  const first = await archive.backups.begin(INTENT);
  await keepOrWrite(
    first.file(entry),
    relation.content,
    new Set(Array.from({ length: PAGES }, (_, page) => page)),
    views,
  );
  const records = [await publish(first)];
  for (let day = 0; day < days; day += 1) {
    const dirty = relation.churn(CHURN, hot);
    const parent = records.at(-1);
    if (parent === undefined) throw new Error('no parent');
    const base = await archive.backups.base(parent);
    const writer = await archive.backups.begin({ ...INTENT, type: 'incremental', parent: parent.label }, { base });
    await keepOrWrite(writer.file(entry, await base.find(entry.path)), relation.content, dirty, views);
    records.push(await publish(writer));
  }
  return { archive, records, content: relation.content };
}

describe.each([
  { name: 'changes all over the file, pages at hand', hot: 1, views: true },
  { name: 'changes all over the file, only changed pages sent', hot: 1, views: false },
  { name: 'changes in a fifth of the file', hot: 0.2, views: true },
])('100 daily increments with 2 % churn: $name', (scenario) => {
  let history: Awaited<ReturnType<typeof live>>;
  let full: BackupRecord;
  beforeAll(async () => {
    history = await live(DAYS, scenario);
    const [first] = history.records;
    if (first === undefined) throw new Error('no full backup');
    full = first;
  });

  it('never need more than 1.5 times the stored bytes of a full backup for a restore', () => {
    const most = Math.max(...history.records.map(({ fragmentation }) => fragmentation?.readBytes ?? Infinity));
    expect(most / full.storedBytes).toBeLessThan(1.5);
  });

  it('are restored with as many bytes and come back', async () => {
    const last = history.records.at(-1);
    if (last === undefined) throw new Error('no increment');
    const { tree, report } = await restoreTree(history.archive, last);
    expect(report.storedBytes / full.storedBytes).toBeLessThan(1.5);
    expect(digestOf(tree)).toEqual(digestOf(new Map([['base/1/16384', history.content]])));
  });

  it('store about what changed', () => {
    const stored = history.records.slice(1).map(({ storedBytes }) => storedBytes / full.storedBytes);
    const mean = stored.reduce((sum, share) => sum + share, 0) / DAYS;
    expect(mean).toBeLessThan(CHURN * 3);
    expect(Math.max(...stored.slice(0, 5))).toBeLessThan(CHURN * 2);
  });

  it('keep the number of ranges, and the manifest, within bounds', () => {
    const ranges = history.records.map(({ fragmentation }) => fragmentation?.extents ?? Infinity);
    expect(Math.max(...ranges) / (history.content.length / MIB)).toBeLessThan(124);
    expect(Math.max(...history.records.map(({ manifest }) => manifest.sizeBytes))).toBeLessThan(12_000);
  });
});
