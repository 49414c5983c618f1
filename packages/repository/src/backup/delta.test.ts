import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createMemoryStore } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import { increment } from '../../test/increment.ts';
import { backUp, compressible, digestOf, openArchive, sampleTree, SMALL, type Tree } from '../../test/support.ts';
import type { BackupRecord, EpochArchive, ManifestEntry, ReadReport, RestoreSink } from '../index.ts';

const PAGE = 8192;
const FRAME = 256 << 10;

/** Restores over `old` as over a disk. What is not written stays; ranges of the result that were written are counted. */
async function restoreOver(
  archive: EpochArchive,
  record: BackupRecord,
  old: ReadonlyMap<string, Buffer>,
  placeOf?: RestoreSink['path'],
): Promise<{ readonly files: Map<string, Buffer>; readonly report: ReadReport; readonly writtenBytes: number }> {
  const files = new Map<string, Buffer>();
  const done = new Set<string>();
  let [writtenBytes, keptBytes] = [0, 0];
  const sink: RestoreSink = {
    entry({ type, path, sizeBytes }: ManifestEntry) {
      if (type !== 'file') return;
      const file = Buffer.alloc(sizeBytes, 0xee);
      old.get(path)?.copy(file);
      files.set(path, file);
    },
    read({ path }, offset, into) {
      const there = old.get(path);
      if (there === undefined || there.length < offset + into.length) return false;
      there.copy(into, 0, offset, offset + into.length);
      return true;
    },
    ...(placeOf === undefined ? {} : { path: placeOf }),
    kept: (_file, _offset, sizeBytes) => void (keptBytes += sizeBytes),
    write({ path }, offset, data) {
      writtenBytes += data.length;
      files.get(path)?.set(data, offset);
    },
    done: ({ path }) => void done.add(path),
  };
  const report = await archive.backups.read(record, sink);
  expect(done.size).toBe(files.size);
  expect(report.keptBytes).toBe(keptBytes);
  expect(writtenBytes + keptBytes).toBe(report.plainBytes);
  return { files, report, writtenBytes };
}

const filesOf = (tree: Tree): Map<string, Buffer> =>
  new Map([...tree].flatMap(([path, content]) => (typeof content === 'string' ? [] : [[path, Buffer.from(content)]])));

test('what is there already is neither read from the store nor written', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const tree = sampleTree();
  const record = await backUp(archive, tree);
  const old = filesOf(tree);
  const { files, report, writtenBytes } = await restoreOver(archive, record, old);
  expect(digestOf(files)).toEqual(digestOf(old));
  expect({ ...report, writtenBytes }).toMatchObject({ requests: 0, storedBytes: 0, writtenBytes: 0 });
});

test('one damaged byte costs its frame and nothing else', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const big = compressible(20 * FRAME + 100);
  const record = await backUp(archive, new Map([['base/1/1', big]]));
  const old = Buffer.from(big);
  old.writeUInt8(old.readUInt8(7 * FRAME + 5) ^ 1, 7 * FRAME + 5);
  const { files, report, writtenBytes } = await restoreOver(archive, record, new Map([['base/1/1', old]]));
  expect(files.get('base/1/1')?.equals(big)).toBe(true);
  expect([report.requests, writtenBytes]).toEqual([1, FRAME]);
});

test('files that are cut, too long or not there are made whole', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const [cut, long, absent, holes] = [4, 3, 2, 6].map((frames) => compressible(frames * FRAME));
  if (cut === undefined || long === undefined || absent === undefined || holes === undefined) throw new Error('none');
  holes.fill(0, FRAME, 4 * FRAME);
  const tree = new Map(Object.entries({ cut, long, absent, holes, small: compressible(5000) }));
  const record = await backUp(archive, tree);
  const old = new Map(Object.entries({ cut: cut.subarray(0, 2 * FRAME + 9), long: Buffer.concat([long, cut]), holes }));
  const { files, writtenBytes } = await restoreOver(archive, record, old);
  expect(digestOf(files)).toEqual(digestOf(tree));
  expect(writtenBytes).toBe(2 * FRAME + 2 * FRAME + 5000);
});

test('after an increment the pages that it did not change are known too, where they were at hand', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: SMALL });
  const before = compressible(40 * FRAME);
  const full = await backUp(archive, new Map([['base/1/1', before]]));
  const after = Buffer.from(before);
  for (const frame of [3, 17, 30]) compressible(PAGE).copy(after, frame * FRAME + PAGE);
  for (const views of [true, false]) {
    const record = await increment(archive, full, new Map([['base/1/1', after]]), { views });
    const same = await restoreOver(archive, record, new Map([['base/1/1', after]]));
    expect(same.writtenBytes).toBe(views ? 0 : 3 * FRAME);
    const older = await restoreOver(archive, record, new Map([['base/1/1', before]]));
    expect(older.files.get('base/1/1')?.equals(after)).toBe(true);
    expect(older.writtenBytes).toBe(3 * FRAME);
  }
});

test('threads that read the files themselves find the same', async () => {
  const archive = await openArchive(createMemoryStore(), { tuning: { ...SMALL, threadedBytes: 1 } });
  const directory = await mkdtemp(join(tmpdir(), 'keyframe-delta-'));
  try {
    const tree = new Map(sampleTree()).set('base/1/1', compressible(20 * FRAME + 100));
    const record = await backUp(archive, tree);
    const old = filesOf(tree);
    const big = old.get('base/1/1');
    big?.writeUInt8(big.readUInt8(7 * FRAME + 5) ^ 1, 7 * FRAME + 5);
    const places = new Map([...old.keys()].map((name, index) => [name, join(directory, String(index))]));
    for (const [name, content] of old) await writeFile(places.get(name) ?? '', content);
    const asked = { reads: 0 };
    const { files, report, writtenBytes } = await restoreOver(archive, record, old, ({ path }, endBytes) => {
      asked.reads += 1;
      return endBytes <= (old.get(path)?.length ?? -1) ? places.get(path) : undefined;
    });
    expect(digestOf(files)).toEqual(digestOf(filesOf(tree)));
    expect([report.requests, writtenBytes]).toEqual([1, FRAME]);
    expect(asked.reads).toBeGreaterThan(20);
  } finally {
    await rm(directory, { recursive: true });
  }
});
