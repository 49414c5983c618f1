import { createMemoryStore } from '@keyframe/testkit';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  backUp,
  compressible,
  digestOf,
  FACTS,
  INTENT,
  keysOf,
  open,
  openArchive,
  restoreTree,
  sampleTree,
  SMALL,
  type Tree,
} from '../../test/support.ts';
import { increment, type IncrementOptions } from '../../test/increment.ts';

const PAGE = 8192;
const ALWAYS = { leastLiveShare: 0, mostExtentsPerMiB: 1e9 } as const;

/** A copy with these pages changed. */
function withPages(content: Uint8Array, pages: readonly number[]): Buffer {
  const copy = Buffer.from(content);
  for (const page of pages) compressible(PAGE).copy(copy, page * PAGE);
  return copy;
}

const pagesOf = (count: number): Buffer => compressible(count * PAGE);

test.each<IncrementOptions>([{ views: true }, { views: false }])(
  'an increment stores the pages that changed, and comes back whole: %o',
  async (options) => {
    const archive = await openArchive(createMemoryStore(), { tuning: { ...SMALL, ...ALWAYS } });
    const big = pagesOf(200);
    const small = pagesOf(10);
    const base = await backUp(
      archive,
      new Map([
        ['big', big],
        ['small', small],
      ]),
    );
    const tree = new Map([
      ['big', withPages(big, [0, 77, 78, 199])],
      ['small', withPages(small, [3])],
    ]);
    const record = await increment(archive, base, tree, options);
    expect(record).toMatchObject({ type: 'incremental', parent: base.label, sizeBytes: 210 * PAGE });
    expect(record.reusedBytes).toBe(205 * PAGE);
    expect(record.storedBytes).toBeLessThan(base.storedBytes / 5);
    expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(tree));
    expect(digestOf((await restoreTree(archive, base)).tree)).toEqual(
      digestOf(
        new Map([
          ['big', big],
          ['small', small],
        ]),
      ),
    );
  },
);

test('pages that changed far from each other lie in one frame', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const big = pagesOf(400);
  const base = await backUp(archive, new Map([['big', big]]));
  const record = await increment(archive, base, new Map([['big', withPages(big, [1, 100, 200, 300])]]));
  const manifest = await archive.backups.manifest(record);
  const entry = await manifest.find('big');
  if (entry === undefined) throw new Error('not found');
  const own = (await manifest.extents(entry)).filter(({ frame }) => frame?.pack.includes(record.label));
  expect(
    own.map(({ fileOffset, frameOffset, frame }) => [fileOffset / PAGE, frameOffset / PAGE, frame?.number]),
  ).toEqual([
    [1, 0, 0],
    [100, 1, 0],
    [200, 2, 0],
    [300, 3, 0],
  ]);
});

test('the manifest of an increment names exactly the packs it needs, with what is alive in each', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const one = pagesOf(300);
  const other = pagesOf(300);
  const base = await backUp(
    archive,
    new Map([
      ['one', one],
      ['other', other],
    ]),
  );
  const record = await increment(archive, base, new Map([['one', withPages(one, [5])]]));
  const uses = (await archive.backups.manifest(record)).packs();
  const others = uses.filter(({ label }) => label === base.label);
  expect(others.reduce((sum, { liveBytes = 0 }) => sum + liveBytes, 0)).toBe(299 * PAGE);
  expect(others.every(({ liveBytes = 0 }) => liveBytes > 0)).toBe(true);
  expect(others.length).toBeLessThan((await archive.backups.manifest(base)).packs().length);
  expect(record.fragmentation).toMatchObject({ otherPacks: others.length, liveBytes: 300 * PAGE });
  expect(uses.map(({ key }) => key)).toEqual(expect.arrayContaining([expect.stringContaining(record.label)]));
});

test('restoring an increment reads no manifest but its own', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, { tuning: SMALL });
  let tree: Tree = sampleTree();
  let record = await backUp(archive, tree);
  const labels = [record.label];
  for (let turn = 0; turn < 3; turn += 1) {
    tree = new Map(
      [...tree].map(([path, content]) => [
        path,
        path.endsWith('16384') && typeof content !== 'string' ? withPages(content, [turn * 7]) : content,
      ]),
    );
    record = await increment(archive, record, tree);
    labels.push(record.label);
  }
  const kept = `backups/${record.label}/`;
  await store.delete(
    (await keysOf(store)).filter((key) => /(manifest|backup\.json|intent)$/u.test(key) && !key.includes(kept)),
  );
  const packs = new Set((await archive.backups.manifest(record)).packs().map(({ key }) => key));
  await store.delete((await keysOf(store)).filter((key) => /pack-\d+$/u.test(key) && !packs.has(key)));
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(tree));
});

test('a full backup references content that did not change, and stores it when told to', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const tree = sampleTree();
  const first = await backUp(archive, tree);
  const base = await archive.backups.base(first);
  const again = await increment(archive, first, tree, { type: 'full' }, base);
  expect(again).toMatchObject({ type: 'full', parent: first.label });
  expect(again.reusedBytes).toBe(again.sizeBytes - 700_000); // zeros lie nowhere
  expect(digestOf((await restoreTree(archive, again)).tree)).toEqual(digestOf(tree));
  const anew = await increment(archive, first, tree, { type: 'full', reuse: false }, base);
  expect(anew.reusedBytes).toBe(0);
  expect(anew.storedBytes).toBeGreaterThan(again.storedBytes * 5);
});

test('content that comes back after increments of unchanged pages is still recognised', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const tree = new Map([
    ['big', pagesOf(100)],
    ['small', pagesOf(5)],
  ]);
  const middle = await increment(archive, await backUp(archive, tree), tree);
  const last = await increment(archive, middle, tree, { type: 'full' });
  expect(last.reusedBytes).toBe(105 * PAGE);
});

test('files that grow, shrink, appear, vanish and change kind are built on as far as they can be', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: { ...SMALL, ...ALWAYS } });
  const big = pagesOf(100);
  const small = pagesOf(4);
  const files = ['grows', 'shrinks', 'vanishes', 'stays'];
  const base = await backUp(
    archive,
    new Map<string, Uint8Array | string>([
      ...files.flatMap((name): [string, Buffer][] => [
        [name, big],
        [`small-${name}`, small],
      ]),
      ['a-link', '/somewhere'],
    ]),
  );
  const tree = new Map<string, Uint8Array | string>([
    ['grows', Buffer.concat([big, pagesOf(50)])],
    ['small-grows', Buffer.concat([small, pagesOf(40)])],
    ['shrinks', big.subarray(0, 9 * PAGE)],
    ['small-shrinks', small.subarray(0, PAGE)],
    ['stays', big],
    ['small-stays', Buffer.alloc(0)],
    ['appears', pagesOf(70)],
    ['a-link', pagesOf(2)],
  ]);
  const record = await increment(archive, base, tree);
  expect(record.reusedBytes).toBe((100 + 4 + 9 + 1 + 100) * PAGE);
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(tree));
});

test('small files that share a frame have it read once', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const tree = new Map(Array.from({ length: 60 }, (_, index): [string, Buffer] => [`f${index}`, compressible(3000)]));
  const base = await backUp(archive, tree);
  const record = await increment(archive, base, tree);
  const { report } = await restoreTree(archive, record);
  expect(report.storedBytes).toBeLessThan(base.storedBytes);
  expect(report.requests).toBe(1);
});

test('a directory that is listed in another order is built on as well, and the next backup after it', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: { ...SMALL, manifestChunkBytes: 700 } });
  const names = Array.from({ length: 400 }, (_, index) => `base/1/${index}`);
  const tree = new Map(names.map((name): [string, Buffer] => [name, compressible(4000)]));
  const first = await backUp(archive, tree);
  const shuffled = new Map(
    names.map((_, index): [string, Buffer] => {
      const name = names[(index * 157) % names.length] ?? '';
      return [name, tree.get(name) ?? Buffer.alloc(0)];
    }),
  );
  const second = await increment(archive, first, shuffled);
  const third = await increment(archive, second, tree, { type: 'full' });
  expect([second.reusedBytes, third.reusedBytes]).toEqual([first.sizeBytes, first.sizeBytes]);
  const { report, tree: restored } = await restoreTree(archive, second);
  expect(report.storedBytes).toBeLessThan(first.storedBytes);
  expect(digestOf(restored)).toEqual(digestOf(tree));
});

test('a base that does not have what is kept, or is no base, is refused', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const record = await backUp(
    archive,
    new Map([
      ['big', pagesOf(50)],
      ['small', pagesOf(1)],
    ]),
  );
  const base = await archive.backups.base(record);
  const INTERNAL = expect.objectContaining({ code: 'INTERNAL' });
  await expect(archive.backups.begin(INTENT, { base })).rejects.toEqual(INTERNAL);
  const writer = await archive.backups.begin({ ...INTENT, parent: record.label, type: 'incremental' }, { base });
  const entry = { mode: 0o600, modifiedAtSeconds: 0, sizeBytes: 60 * PAGE };
  const found = await base.find('big');
  expect(found).toMatchObject({ path: 'big', sizeBytes: 50 * PAGE });
  expect(await base.find('missing')).toBeUndefined();
  const sink = writer.file({ ...entry, path: 'big' }, found);
  expect(() => sink.keep(51 * PAGE)).toThrow(INTERNAL);
  expect(() => sink.keep(PAGE, Buffer.alloc(1))).toThrow(INTERNAL);
  expect(() => writer.file({ ...entry, path: 'new' }).keep(PAGE)).toThrow(INTERNAL);
  expect(() => writer.file({ ...entry, path: 'x' }, { path: 'x', sizeBytes: 1, modifiedAtSeconds: 0 })).toThrow(
    INTERNAL,
  );
});

test('a frame of the base that must be read and is damaged ends the backup', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, { tuning: { ...SMALL, leastLiveShare: 2 } });
  const record = await backUp(archive, new Map([['big', pagesOf(50)]]));
  const key = (await keysOf(store)).find((each) => each.endsWith('pack-00001'));
  if (key === undefined) throw new Error('no pack');
  await store.delete([key]);
  const base = await archive.backups.base(record);
  const writer = await archive.backups.begin({ ...INTENT, parent: record.label, type: 'incremental' }, { base });
  const sink = writer.file(
    { path: 'big', mode: 0, modifiedAtSeconds: 0, sizeBytes: 50 * PAGE },
    await base.find('big'),
  );
  await expect(sink.keep(50 * PAGE)).rejects.toMatchObject({ code: 'CORRUPT' });
});

test('a backup is not published when a pack that it builds on has gone meanwhile', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, { tuning: SMALL });
  const tree = new Map([['big', pagesOf(50)]]);
  const parent = await backUp(archive, tree);
  const base = await archive.backups.base(parent);
  const writer = await archive.backups.begin({ ...INTENT, parent: parent.label, type: 'incremental' }, { base });
  const sink = writer.file(
    { path: 'big', mode: 0, modifiedAtSeconds: 0, sizeBytes: 50 * PAGE },
    await base.find('big'),
  );
  await sink.keep(50 * PAGE);
  await sink.end();
  const prepared = await writer.finish(FACTS);
  await store.delete((await keysOf(store)).filter((key) => key.includes(`${parent.label}/pack-`)));
  await expect(writer.publish(prepared)).rejects.toMatchObject({ code: 'CONFLICT' });
  expect((await archive.backups.list()).map(({ label }) => label)).toEqual([parent.label]);
});

const anyHistory = fc.record({
  files: fc.array(fc.record({ pages: fc.nat(60), zeros: fc.boolean() }), { minLength: 1, maxLength: 8 }),
  turns: fc.array(
    fc.record({
      views: fc.boolean(),
      type: fc.constantFrom('incremental', 'incremental', 'full'),
      dirty: fc.array(fc.tuple(fc.nat(7), fc.nat(59)), { maxLength: 40 }),
      resize: fc.option(fc.tuple(fc.nat(7), fc.nat(80))),
    }),
    { minLength: 1, maxLength: 6 },
  ),
  tuning: fc.record({
    packBytes: fc.integer({ min: 1, max: 400_000 }),
    bundlePackBytes: fc.integer({ min: 1, max: 300_000 }),
    bundleLimitBytes: fc.constantFrom(0, 50_000, 1_000_000),
    manifestChunkBytes: fc.integer({ min: 1, max: 3000 }),
    leastLiveShare: fc.constantFrom(0, 0.5, 0.9, 1.1),
    mostExtentsPerMiB: fc.constantFrom(0, 24, 1000),
  }),
});

test('any history of increments comes back, backup by backup', async () => {
  await fc.assert(
    fc.asyncProperty(anyHistory, async ({ files, turns, tuning }) => {
      const archive = await openArchive(createMemoryStore(), { tuning });
      let tree = new Map(
        files.map(({ pages, zeros }, index): [string, Buffer] => [
          `dir/f${index}`,
          zeros ? Buffer.alloc(pages * PAGE) : pagesOf(pages),
        ]),
      );
      let record = await backUp(archive, tree);
      const taken = [{ record, tree }];
      for (const { views, type, dirty, resize } of turns) {
        const next = new Map(tree);
        for (const [index, content] of [...tree.values()].entries()) {
          const own = dirty.filter(([file, page]) => file === index && (page + 1) * PAGE <= content.length);
          next.set(
            `dir/f${index}`,
            withPages(
              content,
              own.map(([, page]) => page),
            ),
          );
        }
        const resized = next.get(`dir/f${resize?.[0]}`);
        if (resize && resized !== undefined)
          next.set(`dir/f${resize[0]}`, Buffer.concat([resized, pagesOf(80)]).subarray(0, resize[1] * PAGE));
        record = await increment(archive, record, next, { views, type });
        tree = next;
        taken.push({ record, tree });
      }
      for (const each of taken) {
        const restored = await restoreTree(archive, each.record);
        expect(digestOf(restored.tree)).toEqual(digestOf(each.tree));
      }
    }),
    { numRuns: 15 },
  );
});

test('every object of an increment is whole', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, { tuning: SMALL });
  const tree = sampleTree();
  await increment(archive, await backUp(archive, tree), tree);
  const keys = await keysOf(store);
  await expect(Promise.all(keys.map((key) => open(store).check(key)))).resolves.toHaveLength(keys.length);
});
