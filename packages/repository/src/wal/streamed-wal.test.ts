import { createHash } from 'node:crypto';
import { hasCode, type Store } from '@keyframe/contracts';
import { bytesOf, drain } from '@keyframe/contracts/streams';
import { createMemoryStore, faulty, flippedBit } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import { compressible, keysOf, open, openArchive, SYSTEM_IDENTIFIER } from '../../test/support.ts';
import { bytesWith, encrypted, KEY, NEEDLE, reopen } from '../encryption/encrypted.fixture.ts';
import { contiguousEnd, parseWalPart, walPartName } from './part-name.ts';
import type { WalArchive, WalFile, WalPart } from './wal-archive.ts';
import { parseWalInventory } from './wal-inventory.ts';

const SIZE = 1 << 20;
const NAME = '000000010000000000000003';
const CONTENT = compressible(SIZE);
const FACTS = { systemIdentifier: SYSTEM_IDENTIFIER, timeline: 1, segmentSizeBytes: SIZE };

function part(start: number, end: number, content: Uint8Array = CONTENT): WalPart {
  const bytes = content.subarray(start, end);
  return { segment: NAME, start, content: { ...bytesOf(bytes), sizeBytes: bytes.length }, facts: FACTS };
}

const whole = (content: Uint8Array = CONTENT): WalFile => ({ name: NAME, content: bytesOf(content), facts: FACTS });
const sha256 = async (start: number, end: number): Promise<string> =>
  createHash('sha256').update(CONTENT.subarray(start, end)).digest('hex');
const partsIn = async (store: Store): Promise<string[]> =>
  (await keysOf(store)).filter((key) => key.includes('.parts/'));

async function streamed(wal: WalArchive, endBytes: number): Promise<Buffer | undefined> {
  const found = await wal.getStreamed(NAME, endBytes);
  return found === undefined ? undefined : drain(found.content);
}

/** What of the segment a recovery gets. */
function upTo(endBytes: number): Buffer {
  const expected = Buffer.alloc(SIZE);
  expected.set(CONTENT.subarray(0, endBytes));
  return expected;
}

test('parts are one segment, with zeros behind them', async () => {
  const store = createMemoryStore();
  const { wal } = await openArchive(store);
  for (const [start, end] of [
    [0, 100],
    [100, 70_000],
    [70_000, 70_001],
  ] as const)
    expect(await wal.putPart(part(start, end))).toBe(walPartName(NAME, start, end));
  expect((await streamed(wal, 70_001))?.equals(upTo(70_001))).toBe(true);
  expect((await streamed(wal, 50_000))?.equals(upTo(50_000))).toBe(true);
  expect(await streamed(wal, 70_002)).toBeUndefined();
  expect(await wal.get(NAME)).toBeUndefined();
  for (const key of await partsIn(store)) await open(store).check(key);
  await wal.put(whole());
  expect((await streamed(wal, 100))?.equals(CONTENT)).toBe(true);
});

test('parts of two writers overlap, and a gap between them ends what there is', async () => {
  const { wal } = await openArchive(createMemoryStore());
  for (const [start, end] of [
    [0, 5000],
    [2000, 9000],
    [4000, 6000],
    [9001, 12_000],
  ] as const)
    await wal.putPart(part(start, end));
  expect((await streamed(wal, 9000))?.equals(upTo(9000))).toBe(true);
  expect(await streamed(wal, 9001)).toBeUndefined();
  expect((await wal.inventory()).streamedBytes(1, 3n)).toBe(9000);
});

test('parts of two servers are never mixed, and both stay', async () => {
  const store = createMemoryStore();
  const { wal } = await openArchive(store);
  await wal.putPart(part(0, 5000));
  await wal.putPart(part(2000, 9000, compressible(SIZE).fill(7, 4000)));
  expect((await streamed(wal, 5000))?.equals(upTo(5000))).toBe(true);
  const names = expect.stringMatching(/00000000-00001388 and .*000007D0-00002328 hold different bytes/u) as unknown;
  await expect(streamed(wal, 9000)).rejects.toMatchObject({ code: 'CORRUPT', message: names });
  expect(await partsIn(store)).toHaveLength(2);
});

test('the same part again is success, another one of its name is refused', async () => {
  const { wal } = await openArchive(createMemoryStore());
  await wal.putPart(part(0, 1000));
  await wal.putPart(part(0, 1000));
  const other = wal.putPart(part(0, 1000, compressible(SIZE).fill(7, 10, 20)));
  await expect(other).rejects.toEqual(expect.toSatisfy((error: unknown) => hasCode(error, 'WAL_MISMATCH')));
  const foreign = { ...part(1000, 2000), facts: { ...FACTS, systemIdentifier: '1' } };
  await expect(wal.putPart(foreign)).rejects.toMatchObject({ code: 'WRONG_CLUSTER' });
});

test('parts go once the whole segment is there, except those that hold other bytes', async () => {
  const store = createMemoryStore();
  const { wal } = await openArchive(store);
  const known = new Set([await wal.putPart(part(0, 1000))]);
  await wal.putPart(part(1000, 2000));
  const wrong = await wal.putPart(part(2000, 3000, compressible(SIZE).fill(7)));
  await wal.put(whole());
  expect(await wal.removeParts(NAME, { known })).toEqual([]);
  expect(await partsIn(store)).toHaveLength(2);
  expect(await wal.removeParts(NAME, { known, sha256 })).toEqual([wrong]);
  expect(await partsIn(store)).toEqual([`clusters/main/1/wal/00000001/00000000/${wrong}`]);
});

test('an inventory tells how far parts reach, also as text, and only of segments that are not whole', async () => {
  const { wal } = await openArchive(createMemoryStore());
  await wal.putPart(part(0, 1000));
  await wal.putPart({ ...part(0, 3000), segment: '000000010000000000000004' });
  await wal.putPart({ ...part(500, 3000), segment: '000000010000000000000005' });
  const before = await wal.inventory();
  expect(before.segmentSizeBytes).toBe(SIZE);
  await wal.put(whole());
  for (const inventory of [await wal.inventory(), parseWalInventory((await wal.inventory()).toText())]) {
    expect(inventory.streamed).toEqual([{ timeline: 1, number: 4n, endBytes: 3000 }]);
    expect([3n, 4n, 5n].map((number) => inventory.streamedBytes(1, number))).toEqual([0, 3000, 0]);
    expect(inventory.has('000000010000000000000004')).toBe(false);
    expect(inventory.toText()).toMatch(/^v2\.1048576\.1:3\.\.\.1:4\+bb8\.[0-9a-f]{8}$/);
  }
});

test('a damaged part is never given out', async () => {
  const store = createMemoryStore();
  await (await openArchive(store)).wal.putPart(part(0, SIZE));
  const { wal } = await openArchive(faulty(store, flippedBit(5000, { key: /parts/u })));
  await expect(streamed(wal, SIZE)).rejects.toMatchObject({ code: 'CORRUPT' });
});

test('parts are encrypted like segments', async () => {
  const store = createMemoryStore();
  const bytes = Buffer.alloc(SIZE, NEEDLE);
  await (await openArchive(store, encrypted(KEY))).wal.putPart(part(0, 9000, bytes));
  expect(await bytesWith(store, NEEDLE)).toEqual([]);
  const { wal } = await reopen(store, encrypted(KEY));
  expect((await streamed(wal, 9000))?.subarray(0, 9000).equals(bytes.subarray(0, 9000))).toBe(true);
  await expect(streamed((await reopen(store, {})).wal, 9000)).rejects.toMatchObject({ code: 'KEY_REQUIRED' });
});

test('names that are none are not taken for parts', () => {
  expect(parseWalPart(walPartName(NAME, 16, 32))).toMatchObject({ segment: NAME, start: 16, end: 32 });
  for (const wrong of [NAME, `${NAME}.parts/`, `${NAME}.parts/00000010-00000010`, `${NAME}.parts/0-10`])
    expect(parseWalPart(wrong)).toBeUndefined();
  expect(contiguousEnd([])).toBe(0);
});
