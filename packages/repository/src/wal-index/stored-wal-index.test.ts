import { hasCode, lsn, type Store } from '@keyframe/contracts';
import { createMemoryStore } from '@keyframe/testkit';
import type { LensState, SegmentIndex, TransactionEffect } from '@keyframe/wal';
import * as fc from 'fast-check';
import { expect, test, vi } from 'vitest';
import { open, openArchive } from '../../test/support.ts';
import {
  bytesAt,
  bytesWith,
  encrypted,
  KEY,
  overwrite,
  reopen,
  uncompressed,
} from '../encryption/encrypted.fixture.ts';
import { age, OFFICE } from '../encryption/keys.fixture.ts';
import type { WalIndexContent, WalIndexRef } from './wal-index.ts';

const SIZE = 1 << 20;
const NEEDLE = 'a message that nobody may read';
const relation = { tablespace: 1663, database: 5, relfilenode: 16_384 };
const isCorrupt = expect.toSatisfy((error: unknown) => hasCode(error, 'CORRUPT'));

const effect: fc.Arbitrary<TransactionEffect> = fc
  .record({
    xid: fc.nat(0xff_ff_ff_ff),
    topXid: fc.constantFrom(0, 7),
    outcome: fc.constantFrom<'commit' | 'abort'>('commit', 'abort'),
    prepared: fc.boolean(),
    partial: fc.boolean(),
    at: fc.nat(SIZE - 100),
    lived: fc.nat(50_000),
    timeMicros: fc.bigInt({ min: 0n, max: 1n << 52n }),
    rows: fc.nat(1_000_000),
    subtransactions: fc.array(fc.nat(0xff_ff_ff_ff), { maxLength: 3 }),
    truncated: fc.array(fc.nat(100_000), { maxLength: 2 }),
    hasMessage: fc.boolean(),
  })
  .map(({ at, lived, rows, hasMessage, ...rest }) =>
    Object.assign(rest, {
      lsn: lsn(0x40_00_00_00n + BigInt(at)),
      endLsn: lsn(0x40_00_00_00n + BigInt(at + 34)),
      firstLsn: lsn(0x40_00_00_00n + BigInt(at) - BigInt(lived)),
      database: 5,
      tables: [{ relation, inserted: rows, updated: 1, deleted: 2, pages: 3 }],
      created: hasMessage ? [relation] : [],
      dropped: rows % 2 === 0 ? [{ ...relation, relfilenode: 1 }] : [],
      messages: hasMessage ? [{ lsn: lsn(0x40_00_00_10n), prefix: NEEDLE, sizeBytes: 12 }] : [],
    }),
  );

const segment = (number: number, transactions: readonly TransactionEffect[]): SegmentIndex => ({
  timeline: 1,
  startLsn: lsn(0x40_00_00_00n + BigInt(number * SIZE)),
  endLsn: lsn(0x40_00_00_00n + BigInt((number + 1) * SIZE)),
  records: 12,
  commits: 3,
  aborts: 1,
  times: { first: 100n, last: 200n },
  xids: { lowest: 0xff_ff_ff_f0, highest: 12 },
  transactions,
  folded: [
    {
      outcome: 'commit',
      count: 90,
      tables: [{ relation, inserted: 1, updated: 0, deleted: 0, pages: 1 }],
      firstLsn: lsn(0x40_00_00_10n),
      lastLsn: lsn(0x40_00_10_00n),
      firstTimeMicros: 200n,
      lastTimeMicros: 100n,
      lowestXid: 1,
      highestXid: 90,
      partial: number === 0,
    },
  ],
  relations: [{ relation, inserted: 90, updated: 1, deleted: 2, pages: 3 }],
  facts: [{ kind: 'switch', lsn: lsn(1n), endLsn: lsn(2n), previousEndLsn: lsn(1n) }],
  fault: number === 1 ? { at: lsn(0x40_10_00_18n), reason: 'checksum', message: 'wrong' } : undefined,
  notes: number === 0 ? Uint8Array.of(1, 2, 3) : undefined,
});

const state: LensState = {
  position: lsn(0x40_1f_ff_00n),
  knownFrom: 700,
  open: [
    {
      xid: 701,
      topXid: 0,
      firstLsn: lsn(0x40_00_00_20n),
      tables: [{ relation, inserted: 5, updated: 0, deleted: 0, pages: 1 }],
      created: [relation],
      truncated: [16_384],
      messages: [],
      tracked: true,
    },
  ],
};

const contentOf = (transactions: readonly TransactionEffect[]): WalIndexContent => ({
  timeline: 1,
  segmentSizeBytes: SIZE,
  segments: [segment(0, transactions), segment(1, [])],
  blocks: [{ relation, fork: 0, blocks: Uint32Array.of(0, 1, 2, 9, 1000, 0xff_ff_ff_ff) }],
  state: { lens: state, tracker: Uint8Array.of(9, 9) },
  outline: transactions.length % 2 === 0 ? undefined : Uint8Array.of(7, 7, 7),
});

test('what was stored comes back, whatever it says', async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(effect, { maxLength: 8 }), async (transactions) => {
      const archive = await openArchive(createMemoryStore());
      const content = contentOf(transactions);
      const ref = await archive.index.add(content);
      expect(await archive.index.list()).toEqual([ref]);
      const opened = await archive.index.open(ref);
      expect(opened?.outline).toEqual(content.outline);
      expect(await Array.fromAsync(opened?.details() ?? [])).toEqual(content.segments);
      const faulty = opened?.details(({ fault }) => fault !== undefined);
      expect(await Array.fromAsync(faulty ?? [])).toEqual(content.segments.slice(1));
      expect(await opened?.blocks()).toEqual(content.blocks);
      expect(await opened?.state()).toEqual(content.state);
    }),
    { numRuns: 20 },
  );
});

async function stored(store: Store, more = {}): Promise<WalIndexRef> {
  const archive = await openArchive(store, more);
  const [sample] = fc.sample(
    effect.filter(({ messages }) => messages.length > 0),
    1,
  );
  return archive.index.add(contentOf(sample === undefined ? [] : [sample]));
}

test('nothing of it can be read in an encrypted store, nor by a host that only writes', async () => {
  const store = createMemoryStore();
  const ref = await stored(store, { ...encrypted(KEY), compressor: uncompressed });
  expect(await bytesWith(store, NEEDLE)).toEqual([]);
  expect(await (await reopen(store, encrypted(KEY))).index.open(ref)).toBeDefined();
  const closed = createMemoryStore();
  const other = await stored(closed, encrypted(age([OFFICE.recipient], OFFICE.identity)));
  const writer = await reopen(closed, encrypted(age([OFFICE.recipient])));
  await expect(writer.index.open(other)).rejects.toSatisfy((error) => hasCode(error, 'KEY_REQUIRED', 'KEY_WRONG'));
  const plain = createMemoryStore();
  await stored(plain, { compressor: uncompressed });
  expect(await bytesWith(plain, NEEDLE)).toHaveLength(1);
});

test('an object with any bit flipped is damaged, and never read as another one', async () => {
  const store = createMemoryStore();
  const ref = await stored(store);
  const right = await bytesAt(store, ref.key);
  const { index } = await reopen(store, {});
  await fc.assert(
    fc.asyncProperty(fc.nat(right.length * 8 - 1), async (bit) => {
      const wrong = Buffer.from(right);
      wrong[bit >> 3] = (wrong[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      await overwrite(store, ref.key, wrong);
      const all = async (): Promise<unknown> => {
        const opened = await index.open(ref);
        return [await Array.fromAsync(opened?.details() ?? []), await opened?.blocks(), await opened?.state()];
      };
      await expect(all()).rejects.toSatisfy((error) => hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT'));
    }),
    { numRuns: 60 },
  );
  await overwrite(store, ref.key, right);
  await open(store, {}).check(ref.key);
});

test('an object of other segments under that name is damage, and one that is gone is none', async () => {
  const store = createMemoryStore();
  const ref = await stored(store);
  const { index } = await reopen(store, {});
  const elsewhere = { ...ref, key: ref.key.replace('00000001/', '00000002/'), timeline: 2 };
  await overwrite(store, elsewhere.key, await bytesAt(store, ref.key));
  await expect(index.open(elsewhere)).rejects.toEqual(isCorrupt);
  await index.remove([ref]);
  expect(await index.open(ref)).toBeUndefined();
});

test('of a large object only the parts that are needed are read, and damaged ones nearby are read again', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, { compressor: uncompressed });
  const blocks = [{ relation, fork: 0, blocks: Uint32Array.from({ length: 100_000 }, (_, each) => each * 2) }];
  const ref = await archive.index.add({ ...contentOf([]), blocks });
  const ranges: string[] = [];
  const get = store.get.bind(store);
  vi.spyOn(store, 'get').mockImplementation((key, options) => {
    if (key === ref.key) ranges.push(`${options?.range?.start}-${options?.range?.end}`);
    return get(key, options);
  });
  const near = new Map<string, Uint8Array>();
  const cache = {
    get: async (_: WalIndexRef, start: number, end: number) => near.get(`${start}-${end}`),
    set: async (_: WalIndexRef, start: number, bytes: Uint8Array) =>
      void near.set(`${start}-${start + bytes.length}`, Uint8Array.from(bytes)),
  };
  const read = async (): Promise<readonly SegmentIndex[]> => {
    const { index } = await reopen(store, {});
    return Array.fromAsync((await index.open(ref, { cache }))?.details() ?? []);
  };
  const all = await read();
  expect(all).toEqual(contentOf([]).segments);
  const first = ranges.splice(0);
  expect(first).toEqual(['0-32768', `${ref.sizeBytes - 2048}-${ref.sizeBytes}`]);
  expect(await read()).toEqual(all);
  expect(ranges).toEqual([]);
  for (const bytes of near.values()) bytes.fill(0, 0, 20);
  expect(await read()).toEqual(all);
  expect(ranges).toEqual(first);
});
