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
  writeTree,
} from '../../test/support.ts';

test('a backup comes back as it was, and every object of it is whole', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, { tuning: SMALL });
  const tree = sampleTree();
  const record = await backUp(archive, tree);
  const restored = await restoreTree(archive, record);
  expect(digestOf(restored.tree)).toEqual(digestOf(tree));
  expect(restored.report).toMatchObject({ files: record.files, plainBytes: record.sizeBytes, damage: [] });
  expect(await archive.backups.list()).toEqual([record]);
  for (const key of await keysOf(store)) await open(store).check(key);
});

test('the record says what was backed up and what it took', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, { tuning: SMALL });
  const record = await backUp(archive, sampleTree());
  const { serverManifest: _, ...facts } = FACTS;
  expect(record).toMatchObject({ ...facts, label: '20261120T030000Z-full', cluster: 'main', epoch: 1, files: 9 });
  let stored = 0;
  for await (const { key, sizeBytes } of store.list('clusters/main/1/backups/'))
    if (/pack-|manifest$/u.test(key)) stored += sizeBytes;
  expect(record.storedBytes).toBe(stored);
  expect(record.packs).toBe((await keysOf(store)).filter((key) => key.includes('/pack-')).length);
});

test('an empty backup has one pack, which carries the copy of the manifest', async () => {
  const archive = await openArchive(createMemoryStore());
  const record = await backUp(archive, new Map());
  expect(record).toMatchObject({ files: 0, sizeBytes: 0, packs: 1 });
  expect((await restoreTree(archive, record)).tree.size).toBe(0);
});

test('ranges of zeros of a big file are stored nowhere and come back', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const file = Buffer.concat([Buffer.alloc(600_000), compressible(300_000), Buffer.alloc(1_000_000)]);
  const record = await backUp(archive, new Map([['base/1/1', file]]));
  expect(record.storedBytes).toBeLessThan(200_000);
  const manifest = await archive.backups.manifest(record);
  const entry = await manifest.find('base/1/1');
  if (entry === undefined) throw new Error('not found');
  const extents = await manifest.extents(entry);
  expect(extents.map(({ fileOffset, sizeBytes, frame }) => [fileOffset, sizeBytes, frame !== undefined])).toEqual([
    [0, 524_288, false],
    [524_288, 262_144, true],
    [786_432, 262_144, true],
    [1_048_576, 851_424, false],
  ]);
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(new Map([['base/1/1', file]])));
});

test('files written at the same time do not mix', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const writer = await archive.backups.begin(INTENT);
  const files = new Map([50_000, 90_000, 700_000, 400_000].map((size, index) => [`f${index}`, compressible(size)]));
  const common = { mode: 0o600, modifiedAtSeconds: 0 };
  const sinks = [...files].map(([path, bytes]) => {
    return { bytes, sink: writer.file({ ...common, path, sizeBytes: bytes.length }) };
  });
  for (let at = 0; at < 700_000; at += 10_000)
    for (const { bytes, sink } of sinks) await sink.write(bytes.subarray(at, at + 10_000));
  for (const { sink } of sinks) await sink.end();
  const record = await writer.publish(await writer.finish(FACTS));
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(files));
});

test('a manifest that exceeds its memory goes through packs', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, {
    tuning: { ...SMALL, manifestChunkBytes: 200, manifestBufferBytes: 300 },
  });
  const tree: Tree = new Map(Array.from({ length: 300 }, (_, index) => [`base/1/${index}`, compressible(index * 10)]));
  const record = await backUp(archive, tree);
  const packs = (await keysOf(store)).filter((key) => key.includes('/pack-'));
  expect(packs.length).toBeGreaterThan(5);
  for (const key of packs) await open(store).check(key);
  await open(store).check(record.manifest.key);
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(tree));
});

test('only the files that are wanted are read', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const tree = sampleTree();
  const record = await backUp(archive, tree);
  const { report, tree: restored } = await restoreTree(archive, record, { only: ({ path }) => path === 'base/1/1249' });
  expect(restored.get('base/1/1249')).toEqual(tree.get('base/1/1249'));
  expect(restored.has('base/1/16384')).toBe(false);
  expect(report).toMatchObject({ files: 1, plainBytes: 40_960, requests: 1 });
  expect(report.storedBytes).toBeLessThan(200_000);
});

test('a path whose bytes are not UTF-8 keeps its bytes', async () => {
  const archive = await openArchive(createMemoryStore());
  const writer = await archive.backups.begin(INTENT);
  const rawPath = Buffer.from('base/f\u00e9', 'latin1');
  await writer.directory({ path: 'base/f\ufffd', rawPath, mode: 0o700, modifiedAtSeconds: -1 });
  const record = await writer.publish(await writer.finish(FACTS));
  const entries = await Array.fromAsync((await archive.backups.manifest(record)).entries());
  expect(entries).toEqual([
    { ordinal: 0, type: 'directory', path: 'base/f\ufffd', rawPath, mode: 0o700, modifiedAtSeconds: -1, sizeBytes: 0 },
  ]);
});

const anyTree = fc
  .array(
    fc.record({
      size: fc.oneof(fc.nat(300), fc.nat(30_000), fc.nat(400_000), fc.constantFrom(262_144, 524_288, 8192)),
      zeros: fc.boolean(),
      kind: fc.constantFrom('file', 'file', 'file', 'directory', 'symlink'),
    }),
    { maxLength: 25 },
  )
  .map(
    (items): Tree =>
      new Map(
        items.map(({ size, zeros, kind }, index): [string, Uint8Array | string] => {
          if (kind === 'directory') return [`d${index}/`, ''];
          if (kind === 'symlink') return [`l${index}`, `/target/${size}`];
          return [`dir${index % 3}/f${index}`, zeros ? Buffer.alloc(size) : compressible(size)];
        }),
      ),
  );

test('any tree comes back, whatever the sizes of chunks, packs and buffers', async () => {
  await fc.assert(
    fc.asyncProperty(
      anyTree,
      fc.integer({ min: 1000, max: 1_000_000 }),
      fc.record({
        packBytes: fc.integer({ min: 1, max: 900_000 }),
        bundlePackBytes: fc.integer({ min: 1, max: 300_000 }),
        bundleLimitBytes: fc.constantFrom(0, 10_000, 1_000_000),
        framesInFlight: fc.integer({ min: 1, max: 5 }),
        manifestChunkBytes: fc.integer({ min: 1, max: 4000 }),
        manifestBufferBytes: fc.integer({ min: 1, max: 10_000 }),
      }),
      fc.record({ concurrency: fc.integer({ min: 1, max: 5 }), memoryBudgetBytes: fc.nat(100_000_000) }),
      async (tree, chunkBytes, tuning, options) => {
        const archive = await openArchive(createMemoryStore(), { tuning });
        const writer = await archive.backups.begin(INTENT);
        await writeTree(writer, tree, chunkBytes);
        const record = await writer.publish(await writer.finish(FACTS));
        expect(digestOf((await restoreTree(archive, record, options)).tree)).toEqual(digestOf(tree));
      },
    ),
    { numRuns: 25 },
  );
});
