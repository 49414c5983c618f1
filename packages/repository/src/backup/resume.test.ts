import { createMemoryStore, failing, faulty } from '@keyframe/testkit';
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
  SMALL,
  type Tree,
  writeTree,
} from '../../test/support.ts';
import { increment } from '../../test/increment.ts';
import type { BeginOptions } from './catalogue.ts';
import { decodeIntent } from './record-json.ts';
import type { NewFile } from './writer.ts';
import { readSmall } from '../objects/read-range.ts';

const TUNING = { ...SMALL, resumableBytes: 100_000 };
const TREE: Tree = new Map([
  ['PG_VERSION', Buffer.from('18\n')],
  ...Array.from({ length: 30 }, (_, index): [string, Buffer] => [`base/1/${index}`, compressible(60_000)]),
  ...Array.from({ length: 4 }, (_, index): [string, Buffer] => [`base/2/${index}`, compressible(1_300_000)]),
]);

type Store = ReturnType<typeof createMemoryStore>;

/** A store in which a backup was killed at that write. */
async function killedAt(key: RegExp, store = createMemoryStore()): Promise<Store> {
  const dying = faulty(store, failing('put', { key }));
  await expect(backUp(await openArchive(dying, { tuning: TUNING }), TREE)).rejects.toMatchObject({
    code: 'UNAVAILABLE',
  });
  return store;
}

async function labelOf(store: Store): Promise<string> {
  const archive = await openArchive(store, { tuning: TUNING });
  const [unfinished] = await archive.backups.unfinished();
  return unfinished?.label ?? 'none';
}

test('what an interrupted backup stored is not stored again', async () => {
  const store = await killedAt(/backup\.json$/u);
  const interrupted = await labelOf(store);
  const archive = await openArchive(store, { tuning: TUNING });
  const record = await backUp(archive, TREE);
  expect(record.reusedBytes).toBe(record.sizeBytes);
  expect(record.storedBytes).toBeLessThan(20_000);
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(TREE));
  const key = `clusters/main/1/backups/${record.label}/intent`;
  expect(decodeIntent(await readSmall(store, key, undefined), key).resumes).toEqual([interrupted]);
  const labels = (await archive.backups.manifest(record)).packs().map(({ label }) => label);
  expect(new Set(labels)).toEqual(new Set([interrupted, record.label]));
});

test('what was taken over is named by the backup that did it, and by no later one', async () => {
  const store = await killedAt(/backup\.json$/u);
  const interrupted = await labelOf(store);
  const archive = await openArchive(store, { tuning: TUNING });
  const takenOver = async (
    options: BeginOptions,
    parent: { readonly parent?: string } = {},
  ): Promise<readonly string[]> => {
    const writer = await archive.backups.begin({ ...INTENT, ...parent }, options);
    await writeTree(writer, TREE);
    await writer.publish(await writer.finish(FACTS));
    return writer.takenOver;
  };
  expect(await takenOver({ reuse: false })).toEqual([]);
  expect(await takenOver({})).toEqual([interrupted]);
  const record = (await archive.backups.list()).at(-1);
  if (record === undefined) throw new Error('none was published');
  expect(await takenOver({ base: await archive.backups.base(record) }, { parent: record.label })).toEqual([]);
});

test('after whichever write it was killed, the next backup takes over what is whole and comes back', async () => {
  for (const nth of [1, 2, 3, 5]) {
    const store = await killedAt(new RegExp(`pack-0000${nth}$`, 'u'));
    const archive = await openArchive(store, { tuning: TUNING });
    const record = await backUp(archive, TREE);
    const restored = await restoreTree(archive, record);
    expect(digestOf(restored.tree)).toEqual(digestOf(TREE));
    for (const { label } of await archive.backups.unfinished()) await archive.backups.discard(label);
    expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(TREE));
  }
});

test('files that changed since are stored', async () => {
  const store = await killedAt(/backup\.json$/u);
  const archive = await openArchive(store, { tuning: TUNING });
  const tree = new Map([...TREE, ['base/1/7', compressible(60_000)], ['base/2/2', compressible(1_200_000)]] as const);
  const record = await backUp(archive, tree);
  expect(record.sizeBytes - record.reusedBytes).toBe(1_260_000);
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(tree));
});

test('a backup that stored much keeps it when it is given up, one that stored little keeps nothing', async () => {
  for (const [resumableBytes, isKept] of [
    [100_000, true],
    [100_000_000, false],
  ] as const) {
    const store = createMemoryStore();
    const archive = await openArchive(store, { tuning: { ...TUNING, resumableBytes } });
    const writer = await archive.backups.begin(INTENT);
    await writeTree(writer, TREE);
    await writer.finish(FACTS);
    await writer.abandon(new Error('no WAL came'));
    const [unfinished] = await archive.backups.unfinished();
    expect(unfinished?.label === writer.label).toBe(isKept);
    await archive.backups.discard(writer.label);
    expect((await keysOf(store, 'clusters/main/1/backups/')).some((key) => key.includes('/pack-'))).toBe(isKept);
  }
});

test('a pack of an interrupted backup that is damaged, or cut, is not taken over', async () => {
  const store = await killedAt(/backup\.json$/u);
  const label = await labelOf(store);
  const packs = (await keysOf(store)).filter((key) => key.includes(`${label}/pack-`));
  for (const [index, key] of packs.entries()) {
    const bytes = await readSmall(store, key, undefined);
    const cut = index % 2 === 0 ? bytes.subarray(0, bytes.length - 5) : Buffer.from(bytes);
    if (index % 2 === 1) cut[cut.length - 300] = (cut[cut.length - 300] ?? 0) ^ 1;
    await store.delete([key]);
    await store.put(key, {
      sizeBytes: cut.length,
      open: async function* () {
        yield cut;
      },
    });
  }
  const archive = await openArchive(store, { tuning: TUNING });
  const record = await backUp(archive, TREE);
  expect(record.reusedBytes).toBe(0);
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(TREE));
});

test('an increment takes over the new files of an interrupted one', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, { tuning: TUNING });
  const parent = await backUp(archive, new Map([['base/1', compressible(500_000)]]));
  const dying = await open(faulty(store, failing('put', { key: /backup\.json$/u })), { tuning: TUNING })
    .cluster('main')
    .at(1);
  await expect(increment(dying, parent, TREE)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  const record = await increment(archive, parent, TREE);
  expect(record.reusedBytes).toBe(record.sizeBytes);
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(TREE));
});

test('nothing is taken over when everything is to be stored anew', async () => {
  const store = await killedAt(/backup\.json$/u);
  const archive = await openArchive(store, { tuning: TUNING });
  const writer = await archive.backups.begin(INTENT, { reuse: false });
  await writeTree(writer, TREE);
  const record = await writer.publish(await writer.finish(FACTS));
  expect(record.reusedBytes).toBe(0);
});

test('a damaged intent does not stand in the way of the next backup', async () => {
  const store = await killedAt(/backup\.json$/u);
  const key = `clusters/main/1/backups/${await labelOf(store)}/intent`;
  await store.delete([key]);
  await store.put(key, {
    sizeBytes: 1,
    open: async function* () {
      yield Buffer.from('x');
    },
  });
  const archive = await openArchive(store, { tuning: TUNING });
  expect((await backUp(archive, TREE)).reusedBytes).toBe(0);
});

test('ranges of an interrupted backup are taken over unseen, but where it lost trust, and where it says that it began', async () => {
  const begun = { startLsn: FACTS.startLsn, timeline: 1, walSegmentSizeBytes: 16 << 20, dataChecksums: true };
  const small = 'base/1/3';
  const big = 'base/2/1';
  const entry = (path: string, content: Buffer): NewFile => ({
    path,
    mode: 0o600,
    modifiedAtSeconds: 1,
    sizeBytes: content.length,
  });
  const contents = new Map([
    [small, compressible(60_000)],
    [big, compressible(1_300_000)],
  ]);
  const store = createMemoryStore();
  const dying = await openArchive(faulty(store, failing('put', { key: /backup\.json$/u })), { tuning: TUNING });
  const first = await dying.backups.begin(INTENT);
  first.began(begun);
  for (const [path, content] of contents) {
    const sink = first.file(entry(path, content));
    // As read in pieces of any length: the second frame is spoiled.
    await sink.write(content.subarray(0, 300_000));
    if (path === big) sink.distrust(8192);
    await sink.write(content.subarray(300_000));
    await sink.end();
  }
  await expect(first.finish(FACTS).then((prepared) => first.publish(prepared))).rejects.toMatchObject({
    code: 'UNAVAILABLE',
  });
  const archive = await openArchive(store, { tuning: TUNING });
  const writer = await archive.backups.begin(INTENT);
  expect(writer.interrupted).toMatchObject([{ label: first.label, begun, plainBytes: 1_360_000 }]);
  for (const [path, content] of contents) {
    const sink = writer.file(entry(path, content));
    const ranges = await sink.stored();
    let at = 0;
    for (const range of ranges) {
      if (range.fileOffset > at) await sink.write(content.subarray(at, range.fileOffset));
      await sink.take(range);
      at = range.fileOffset + range.sizeBytes;
    }
    if (at < content.length) await sink.write(content.subarray(at));
    await sink.end();
  }
  const record = await writer.publish(await writer.finish(FACTS));
  expect(record.unreadBytes).toBe(1_360_000 - (256 << 10));
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(contents));
});
