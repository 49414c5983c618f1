import { randomBytes } from 'node:crypto';
import { type ByteSource, hasCode, segmentName, type Store } from '@keyframe/contracts';
import { bytesOf, drain } from '@keyframe/contracts/streams';
import {
  contentOf,
  createMemoryStore,
  cutShort,
  failing,
  faulty,
  flippedBit,
  losingAcknowledgement,
} from '@keyframe/testkit';
import { expect, test } from 'vitest';
import { compressible, keysOf, open, openArchive, SYSTEM_IDENTIFIER } from '../../test/support.ts';
import type { WalArchive, WalFile } from './wal-archive.ts';

const SEGMENT = 1 << 20;
const NAME = '000000010000000000000003';
const KEY = `clusters/main/1/wal/00000001/00000000/${NAME}`;

function segment(content: Uint8Array, name = NAME): WalFile {
  const facts = { systemIdentifier: SYSTEM_IDENTIFIER, timeline: 1, segmentSizeBytes: content.length };
  return { name, content: bytesOf(content), facts };
}

function history(text: string, name = '00000002.history'): WalFile {
  return { name, content: bytesOf(Buffer.from(text)), facts: { systemIdentifier: SYSTEM_IDENTIFIER } };
}

async function walOf(store: Store): Promise<WalArchive> {
  return (await openArchive(store)).wal;
}

async function fetched(wal: WalArchive, name: string): Promise<Buffer | undefined> {
  const found = await wal.get(name);
  return found === undefined ? undefined : drain(found.content);
}

test.each([1, 2, 16, 32])('a segment of %i MiB comes back as it was, and its object is whole', async (mebibytes) => {
  const store = createMemoryStore();
  const wal = await walOf(store);
  const content = compressible(mebibytes << 20);
  expect(await wal.put(segment(content))).toBe('archived');
  expect((await fetched(wal, NAME))?.equals(content)).toBe(true);
  expect((await contentOf(store, KEY))?.length).toBeLessThan(content.length / 2);
  await open(store).check(KEY);
});

/** Reads short, as a file system may. */
function readerOf(content: Uint8Array): NonNullable<WalFile['reader']> {
  return async () => ({
    async read(target, offset, length, position) {
      const part = content.subarray(position, position + Math.min(length, 300_000));
      target.set(part, offset);
      return { bytesRead: part.length };
    },
    [Symbol.asyncDispose]: async () => undefined,
  });
}

test('several files at a time that share the memory they are read into come back as they were', async () => {
  const wal = await walOf(createMemoryStore());
  const files = [5, 16, 3, 32, 7, 16].map((mebibytes, index) => {
    const content = index % 2 === 0 ? compressible(mebibytes << 20) : randomBytes(mebibytes << 20);
    content.writeUInt32LE(index, 0);
    return { name: segmentName(1, BigInt(index + 1), 16 << 20), content };
  });
  const put = ({ name, content }: (typeof files)[number]): Promise<string> =>
    wal.put({ ...segment(content, name), reader: readerOf(content) });
  expect(new Set(await Promise.all(files.map(put)))).toEqual(new Set(['archived']));
  for (const { name, content } of files) expect((await fetched(wal, name))?.equals(content)).toBe(true);
  expect(new Set(await Promise.all(files.map(put)))).toEqual(new Set(['already-archived']));
});

test('a file that cannot be read, or has another length than it had, is no fault of the store', async () => {
  const store = createMemoryStore();
  const wal = await walOf(store);
  const content = compressible(SEGMENT);
  const failed = Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO', errno: -5, syscall: 'read' });
  const reader = async (): Promise<never> => Promise.reject(failed);
  await expect(wal.put({ ...segment(content), reader })).rejects.toBe(failed);
  for (const size of [SEGMENT - 1, SEGMENT + 1, 4 * SEGMENT])
    await expect(wal.put({ ...segment(content), reader: readerOf(Buffer.alloc(size)) })).rejects.toEqual(
      expect.toSatisfy((error: unknown) => hasCode(error, 'WAL_INVALID')),
    );
  expect(await wal.has(NAME)).toBe(false);
});

test('a file copied here from another repository is not given out, nor believed to be archived', async () => {
  const content = compressible(SEGMENT);
  const elsewhere = createMemoryStore();
  await (await walOf(elsewhere)).put(segment(content));
  const store = createMemoryStore();
  const wal = await walOf(store);
  await store.put(KEY, bytesOf((await contentOf(elsewhere, KEY)) ?? Buffer.of()));
  const isCorrupt = expect.toSatisfy((error: unknown) => hasCode(error, 'CORRUPT'));
  await expect(fetched(wal, NAME)).rejects.toEqual(isCorrupt);
  await expect(wal.put(segment(content))).rejects.toEqual(isCorrupt);
});

test('every kind of file has its place', async () => {
  const store = createMemoryStore();
  const wal = await walOf(store);
  await wal.put(segment(compressible(SEGMENT), `${NAME}.partial`));
  await wal.put(history('1\t0/3000000\tno recovery target specified\n'));
  await wal.put(history('START WAL LOCATION: 0/3000028\n', `${NAME}.00000028.backup`));
  expect(await keysOf(store, 'clusters/main/1/wal/')).toEqual([
    `clusters/main/1/wal/00000001/00000000/${NAME}.00000028.backup`,
    `clusters/main/1/wal/00000001/00000000/${NAME}.partial`,
    'clusters/main/1/wal/00000002.history',
  ]);
  expect((await fetched(wal, '00000002.history'))?.toString()).toContain('no recovery target');
});

test('the header is one small read', async () => {
  const store = createMemoryStore();
  const wal = await walOf(store);
  await wal.put(segment(compressible(SEGMENT)));
  let asked = 0;
  const watched: Store = {
    ...store,
    get: (key, how) => ((asked += (how?.range?.end ?? 1e9) - (how?.range?.start ?? 0)), store.get(key, how)),
  };
  const archive = await open(watched).cluster('main').at(1);
  asked = 0;
  expect(await archive.wal.header(NAME)).toMatchObject({
    name: NAME,
    kind: 'segment',
    systemIdentifier: SYSTEM_IDENTIFIER,
    timeline: 1,
    segmentSizeBytes: SEGMENT,
    sizeBytes: SEGMENT,
  });
  expect(asked).toBeLessThanOrEqual(4096);
});

test('what is not there is undefined, and only when the store says so', async () => {
  const store = createMemoryStore();
  const wal = await walOf(store);
  expect(await wal.get(NAME)).toBeUndefined();
  expect(await wal.header(NAME)).toBeUndefined();
  expect(await wal.has(NAME)).toBe(false);
  const broken = await open(faulty(store, failing('get', { key: /wal/u }), failing('stat')))
    .cluster('main')
    .at(1);
  await expect(broken.wal.get(NAME)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await expect(broken.wal.has(NAME)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
});

test('the same file again is already archived, whatever the codec', async () => {
  const store = createMemoryStore();
  const content = compressible(SEGMENT);
  await (await walOf(store)).put(segment(content));
  const none = {
    id: 'none2',
    compress: async (frame: Uint8Array) => frame,
    decompress: async (frame: Uint8Array) => frame,
  };
  const archive = await open(store, { compressor: none }).cluster('main').at(1);
  expect(await archive.wal.put(segment(content))).toBe('already-archived');
});

test('another file under the same name is refused, and the first stays', async () => {
  const store = createMemoryStore();
  const wal = await walOf(store);
  const content = compressible(SEGMENT);
  await wal.put(segment(content));
  await expect(wal.put(segment(compressible(SEGMENT)))).rejects.toMatchObject({ code: 'WAL_MISMATCH' });
  expect((await fetched(wal, NAME))?.equals(content)).toBe(true);
});

test('a timeline that is reserved for one copy is refused to another, though both wrote the same history file', async () => {
  const wal = await walOf(createMemoryStore());
  const file = history('1\t0/3000000\tbefore 2026-11-24 14:36:58+00\n');
  expect(await wal.put({ ...file, adoption: 'one' })).toBe('archived');
  expect(await wal.put({ ...file, adoption: 'one' })).toBe('already-archived');
  await expect(wal.put({ ...file, adoption: 'other' })).rejects.toMatchObject({ code: 'WAL_MISMATCH' });
  // PostgreSQL's own archiver offers it without one.
  expect(await wal.put(file)).toBe('already-archived');
  expect(await wal.header(file.name)).toMatchObject({ adoption: 'one' });
});

test('a store without conditional writes is asked first', async () => {
  const store = createMemoryStore({ capabilities: { conditionalPut: false } });
  const wal = await walOf(store);
  const content = compressible(SEGMENT);
  expect(await wal.put(segment(content))).toBe('archived');
  expect(await wal.put(segment(content))).toBe('already-archived');
  await expect(wal.put(segment(compressible(SEGMENT)))).rejects.toMatchObject({ code: 'WAL_MISMATCH' });
});

test('a file whose acknowledgement was lost is already archived', async () => {
  const store = createMemoryStore();
  const wal = await walOf(faulty(store, losingAcknowledgement({ key: /wal/u, times: 1 })));
  const content = compressible(SEGMENT);
  await expect(wal.put(segment(content))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(await wal.put(segment(content))).toBe('already-archived');
});

test('a stored object that is not whole is no success for a second push', async () => {
  const store = createMemoryStore();
  const content = compressible(SEGMENT);
  await (await walOf(store)).put(segment(content));
  const whole = (await contentOf(store, KEY)) ?? Buffer.alloc(0);
  for (const size of [0, 10, 2000, whole.length - 1]) {
    await store.put(KEY, bytesOf(whole.subarray(0, size)));
    const archive = await open(store).cluster('main').at(1);
    await expect(archive.wal.put(segment(content))).rejects.toMatchObject({ code: 'CORRUPT', details: { key: KEY } });
  }
});

test('content that changes between the two reads is not stored', async () => {
  const store = createMemoryStore();
  const wal = await walOf(store);
  let reads = 0;
  const content: ByteSource = {
    sizeBytes: 32 * SEGMENT,
    open: async function* () {
      reads += 1;
      yield Buffer.alloc(32 * SEGMENT, reads);
    },
  };
  await expect(wal.put({ ...segment(Buffer.alloc(32 * SEGMENT)), content })).rejects.toMatchObject({ code: 'CORRUPT' });
  expect(await wal.has(NAME)).toBe(false);
});

test('what does not belong here is refused', async () => {
  const wal = await walOf(createMemoryStore());
  const content = compressible(SEGMENT);
  const { facts, ...file } = segment(content);
  const put = (changed: Partial<WalFile['facts']>, name = NAME) =>
    wal.put({ ...file, name, facts: { ...facts, ...changed } });
  await expect(put({ systemIdentifier: '1' })).rejects.toMatchObject({ code: 'WRONG_CLUSTER' });
  await expect(put({ timeline: 2 })).rejects.toMatchObject({ code: 'WRONG_TIMELINE' });
  await expect(put({ segmentSizeBytes: 2 * SEGMENT })).rejects.toMatchObject({ code: 'WAL_INVALID' });
  await expect(put({ segmentSizeBytes: undefined })).rejects.toMatchObject({ code: 'INTERNAL' });
  await expect(put({}, 'RECOVERYXLOG')).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  expect(await wal.has(NAME)).toBe(false);
});

test('a flipped bit or a cut anywhere never gives the whole of a wrong file', async () => {
  const store = createMemoryStore();
  const content = compressible(1000);
  const file = history(content.toString('latin1'));
  const plain = Buffer.from(content.toString('latin1'));
  await (await walOf(store)).put(file);
  const size = (await contentOf(store, 'clusters/main/1/wal/00000002.history'))?.length ?? 0;
  const faults = Array.from({ length: size }, (_, at) => [
    flippedBit(at, { key: /history/u, bit: at % 8 }),
    cutShort(at, { key: /history/u }),
  ]);
  for (const fault of faults.flat()) {
    const archive = await open(faulty(store, fault)).cluster('main').at(1);
    let got = 0;
    const reading = (async () => {
      for await (const piece of (await archive.wal.get('00000002.history'))?.content ?? []) got += piece.length;
    })();
    await expect(reading).rejects.toSatisfy((error) => hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT'));
    expect(got).toBeLessThan(plain.length);
  }
});

test('an object in the place of another is CORRUPT', async () => {
  const store = createMemoryStore();
  const wal = await walOf(store);
  await wal.put(segment(compressible(SEGMENT)));
  const bytes = (await contentOf(store, KEY)) ?? Buffer.alloc(0);
  const other = segmentName(1, 4n, 16 << 20);
  await store.put(KEY.replace(NAME, other), bytesOf(bytes));
  await expect(wal.get(other)).rejects.toMatchObject({ code: 'CORRUPT' });
});

test('leaving a file half read releases the store', async () => {
  let released = false;
  const store = createMemoryStore();
  await (await walOf(store)).put(segment(compressible(4 * SEGMENT)));
  const watched: Store = {
    ...store,
    get: async (key, how) => {
      const stream = await store.get(key, how);
      return (async function* () {
        try {
          yield* stream;
        } finally {
          if (key === KEY) released = true;
        }
      })();
    },
  };
  const archive = await open(watched).cluster('main').at(1);
  for await (const _ of (await archive.wal.get(NAME))?.content ?? []) break;
  expect(released).toBe(true);
});

test('the inventory knows what is there', async () => {
  const wal = await walOf(createMemoryStore());
  for (const number of [3n, 4n, 6n, 4095n, 4096n])
    await wal.put(segment(compressible(SEGMENT), segmentName(1, number, SEGMENT)));
  await wal.put(history('x'));
  await wal.put(history('x', `${segmentName(1, 3n, SEGMENT)}.00000028.backup`));
  const inventory = await wal.inventory();
  expect(inventory.segmentSizeBytes).toBe(SEGMENT);
  expect(inventory.segments).toBe(5);
  expect(inventory.ranges(1)).toEqual([
    { first: 3n, last: 4n },
    { first: 6n, last: 6n },
    { first: 4095n, last: 4096n },
  ]);
  expect(inventory.histories).toEqual([2]);
  expect(inventory.has(segmentName(1, 4n, SEGMENT))).toBe(true);
  expect(inventory.has(segmentName(1, 5n, SEGMENT))).toBe(false);
});

test('the inventory of an empty archive is empty', async () => {
  const inventory = await (await walOf(createMemoryStore())).inventory();
  expect([inventory.segments, inventory.timelines, inventory.histories]).toEqual([0, [], []]);
});
