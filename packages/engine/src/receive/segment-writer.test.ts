import { KeyframeError, type Lsn, lsn, segmentNameAt, type Store } from '@keyframe/contracts';
import { openRepository, type WalArchive } from '@keyframe/repository';
import { createMemoryStore, failing, faulty } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import type { ReceiveEvent } from './receive-event.ts';
import { segmentPool } from './segment-memory.ts';
import { SegmentWriter, type WriterOptions } from './segment-writer.ts';

const SIZE = 1 << 20;
const SYSTEM = '7000000000000000001';
const START = lsn(BigInt(3 * SIZE));
const plain = {
  id: 'none',
  compress: async (frame: Uint8Array) => Uint8Array.from(frame),
  decompress: async (frame: Uint8Array) => Uint8Array.from(frame),
};

/** Segment of which only the header is like PostgreSQL's. */
function segment(number: number): Buffer {
  const bytes = Buffer.alloc(SIZE, number);
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  view.setUint16(0, 0xd1_18, true);
  view.setUint16(2, 2, true);
  view.setUint32(4, 1, true);
  view.setBigUint64(8, BigInt(number * SIZE), true);
  view.setBigUint64(24, BigInt(SYSTEM), true);
  view.setUint32(32, SIZE, true);
  view.setUint32(36, 8192, true);
  return bytes;
}

const name = (number: number): string => segmentNameAt(1, lsn(BigInt(number * SIZE)), SIZE);

async function archiveIn(store: Store): Promise<WalArchive> {
  const repository = openRepository({ store, compressor: plain, compressors: [plain], now: () => new Date(0) });
  await repository.init();
  const { wal } = await repository.cluster('main').create({ systemIdentifier: SYSTEM, postgresVersion: 180_000 });
  return wal;
}

interface Made {
  readonly writer: SegmentWriter;
  readonly durable: Lsn[];
  readonly events: ReceiveEvent[];
  readonly faults: unknown[];
  readonly stop: AbortController;
}

function writerTo(wal: WalArchive, options: Partial<WriterOptions> = {}, durable: Lsn = START): Made {
  const made = {
    durable: [] as Lsn[],
    events: [] as ReceiveEvent[],
    faults: [] as unknown[],
    stop: new AbortController(),
  };
  const writer = new SegmentWriter(
    {
      wal,
      systemIdentifier: SYSTEM,
      segmentSizeBytes: SIZE,
      pool: segmentPool(SIZE, '/nonexistent'),
      flushIntervalMs: 0,
      flushBytes: SIZE,
      onDurable: (each) => void made.durable.push(each),
      onEvent: (event) => void made.events.push(event),
      onFault: (error) => void made.faults.push(error),
      signal: made.stop.signal,
      ...options,
    },
    { timeline: 1, start: START, durable },
  );
  return { writer, ...made };
}

/** A store whose puts of some keys wait until they are let go. */
function held(store: Store, holds: (key: string) => boolean): { readonly store: Store; readonly letGo: () => void } {
  const gate = Promise.withResolvers<void>();
  const put: Store['put'] = async (key, source, options) => {
    if (holds(key)) await gate.promise;
    return store.put(key, source, options);
  };
  return { store: { ...store, put }, letGo: () => gate.resolve() };
}

const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
const keysOf = async (store: Store): Promise<string[]> => {
  const keys: string[] = [];
  for await (const { key } of store.list('clusters/main/1/wal/')) keys.push(key.slice(key.lastIndexOf('/wal/') + 5));
  return keys.toSorted();
};

test('what comes while a part is put shares the next one', async () => {
  const memory = createMemoryStore();
  const { store, letGo } = held(memory, (key) => key.includes('.parts/'));
  const { writer, durable } = writerTo(await archiveIn(store));
  const bytes = segment(3);
  await writer.write(bytes.subarray(0, 100));
  for (let at = 100; at < 1000; at += 100) await writer.write(bytes.subarray(at, at + 100));
  expect(durable).toEqual([]);
  expect(writer.isIdle).toBe(false);
  letGo();
  await writer.finish();
  expect(durable).toEqual([lsn(START + 100n), lsn(START + 1000n)]);
  expect(await keysOf(memory)).toEqual([
    `00000001/00000000/${name(3)}.parts/00000000-00000064`,
    `00000001/00000000/${name(3)}.parts/00000064-000003E8`,
  ]);
  await writer.close();
});

test('segments that become whole in another order count in their own', async () => {
  const memory = createMemoryStore();
  const { store, letGo } = held(memory, (key) => key.endsWith(name(3)));
  const { writer, durable } = writerTo(await archiveIn(store), { flushIntervalMs: 60_000 });
  for (const number of [3, 4, 5]) await writer.write(segment(number));
  while ((await keysOf(memory)).length < 2) await settled();
  for (let turn = 0; turn < 20; turn += 1) await settled();
  expect(durable).toEqual([]);
  letGo();
  await writer.finish();
  expect(writer.durable).toBe(START + BigInt(3 * SIZE));
  expect(writer.isIdle).toBe(true);
  expect(await keysOf(memory)).toEqual([3, 4, 5].map((number) => `00000001/00000000/${name(number)}`));
  await writer.close();
});

test('a whole segment takes the place of its parts', async () => {
  const memory = createMemoryStore();
  const { writer, faults } = writerTo(await archiveIn(memory));
  const bytes = segment(3);
  for (let at = 0; at < SIZE; at += 100_000) {
    await writer.write(bytes.subarray(at, Math.min(SIZE, at + 100_000)));
    await settled();
  }
  await writer.write(segment(4).subarray(0, 500));
  await writer.finish();
  expect(await keysOf(memory)).toEqual([
    `00000001/00000000/${name(3)}`,
    `00000001/00000000/${name(4)}.parts/00000000-000001F4`,
  ]);
  expect(writer.durable).toBe(START + BigInt(SIZE) + 500n);
  expect(faults).toEqual([]);
  await writer.close();
});

test('what the repository holds already is not put again when it comes again', async () => {
  const memory = createMemoryStore();
  const wal = await archiveIn(memory);
  const bytes = segment(3);
  const first = writerTo(wal);
  await first.writer.write(bytes.subarray(0, 5000));
  await first.writer.finish();
  await first.writer.close();
  const again = writerTo(wal, {}, first.writer.durable);
  await again.writer.write(bytes.subarray(0, 8000));
  await again.writer.finish();
  expect(await keysOf(memory)).toEqual([
    `00000001/00000000/${name(3)}.parts/00000000-00001388`,
    `00000001/00000000/${name(3)}.parts/00001388-00001F40`,
  ]);
  await again.writer.close();
  // Parts of earlier runs go when the whole segment that took their place proves that it holds the same.
  const last = writerTo(wal, {}, again.writer.durable);
  await last.writer.write(bytes);
  await last.writer.finish();
  expect(await keysOf(memory)).toEqual([`00000001/00000000/${name(3)}`]);
  await last.writer.close();
});

test('more than fits into memory waits', async () => {
  const memory = createMemoryStore();
  const { store, letGo } = held(memory, (key) => key.includes('/wal/'));
  const { writer } = writerTo(await archiveIn(store), { flushIntervalMs: 60_000 });
  let written = 0;
  const writing = (async () => {
    for (const number of [3, 4, 5, 6, 7, 8]) {
      await writer.write(segment(number));
      written = number;
    }
  })();
  for (let turn = 0; turn < 20; turn += 1) await settled();
  expect(written).toBe(6);
  letGo();
  await writing;
  await writer.finish();
  expect(writer.durable).toBe(START + BigInt(6 * SIZE));
  await writer.close();
});

test('a store that is away is waited for, and one that refuses ends it', async () => {
  const memory = createMemoryStore();
  const wal = await archiveIn(memory);
  const away = faulty(memory, failing('put', { key: /parts/u, times: 1 }));
  const patient = writerTo(await archiveOver(away));
  await patient.writer.write(segment(3).subarray(0, 100));
  await patient.writer.finish();
  expect(patient.events.map(({ kind }) => kind)).toEqual(['store-waits', 'durable']);
  await patient.writer.close();
  const denied = faulty(memory, failing('put', { key: /parts/u, error: new KeyframeError('ACCESS_DENIED', 'no') }));
  const refused = writerTo(await archiveOver(denied), {}, await durableOf(wal));
  await refused.writer.write(segment(3).subarray(0, 200));
  await refused.writer.finish();
  expect(refused.faults).toMatchObject([{ code: 'ACCESS_DENIED' }]);
  expect(refused.durable).toEqual([]);
  await refused.writer.close();
});

const durableOf = async (wal: WalArchive): Promise<Lsn> => lsn(START + BigInt(await wal.streamedBytes(name(3))));

async function archiveOver(store: Store): Promise<WalArchive> {
  const repository = openRepository({ store, compressor: plain, compressors: [plain], now: () => new Date(0) });
  return (await repository.cluster('main').find(SYSTEM)).wal;
}
