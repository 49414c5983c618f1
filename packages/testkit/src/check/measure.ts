/** Figures of a store, taken with objects of the check's own. @packageDocumentation */
import { randomBytes } from 'node:crypto';
import { hasCode, type Store } from '@keyframe/contracts';
import { bytesOf, textOf } from '@keyframe/contracts/streams';

/** Milliseconds of one kind of call. */
export interface Latency {
  readonly medianMs: number;
  readonly slowestMs: number;
}

/** What was measured. Bytes are those of the objects; rates are of one stream, and of four side by side. */
export interface Measurements {
  readonly put: Latency;
  readonly get: Latency;
  readonly stat: Latency;
  readonly list: Latency;
  readonly uploadBytesPerSecond: { readonly one: number; readonly four: number };
  readonly downloadBytesPerSecond: { readonly one: number; readonly four: number };
  /** Milliseconds for the last 64 KiB of a large object: a store that reads ranges does not read it all for that. */
  readonly rangeMs: number;
  /** Of 16 writers that create one object at once, how many were told that they did: 1 where conditions hold. */
  readonly winners: number;
  /** Of 16 objects, how many a listing showed right after their put, and how many it still showed right after their delete. */
  readonly listing: { readonly written: number; readonly of: number; readonly stale: number };
  /** The store's clock minus ours, milliseconds; positive when it is ahead. Right to a round trip, and to a second where the store keeps whole seconds. */
  readonly clockAheadMs: number;
}

const SMALL_CALLS = 9;
const LARGE_BYTES = 8 << 20;
const WRITERS = 16;

/** Takes all figures. `store` holds nothing else. `onStep` is told what comes next. */
export async function measure(store: Store, onStep: (what: string) => void = () => undefined): Promise<Measurements> {
  onStep('latency');
  const name = (index: number): string => `small/${index}`;
  const put = await timed((index) => store.put(name(index), textOf('keyframe')));
  const clockAheadMs = await clockAhead(store);
  const get = await timed(async (index) => read(store, name(index)));
  const stat = await timed((index) => store.stat(name(index)));
  const list = await timed(() => Array.fromAsync(store.list('small/')));
  onStep('throughput');
  const bytes = randomBytes(LARGE_BYTES);
  const upload = async (count: number): Promise<number> =>
    rate(count, (index) => store.put(`large/${count}-${index}`, bytesOf(bytes)));
  const download = async (count: number): Promise<number> =>
    rate(count, (index) => read(store, `large/${count}-${index}`));
  const uploadBytesPerSecond = { one: await upload(1), four: await upload(4) };
  const downloadBytesPerSecond = { one: await download(1), four: await download(4) };
  const range = { start: LARGE_BYTES - (64 << 10) };
  const { medianMs: rangeMs } = await timed(() => read(store, 'large/1-0', range), 5);
  onStep('writers at once');
  const winners = await race(store);
  onStep('listings');
  const listing = await listingOf(store);
  return {
    put,
    get,
    stat,
    list,
    uploadBytesPerSecond,
    downloadBytesPerSecond,
    rangeMs,
    winners,
    listing,
    clockAheadMs,
  };
}

async function read(store: Store, key: string, range?: { readonly start: number }): Promise<void> {
  for await (const chunk of await store.get(key, range === undefined ? {} : { range })) void chunk;
}

async function timed(call: (index: number) => Promise<unknown>, times: number = SMALL_CALLS): Promise<Latency> {
  const took: number[] = [];
  for (let index = 0; index < times; index += 1) {
    const started = performance.now();
    await call(index);
    took.push(performance.now() - started);
  }
  took.sort((one, other) => one - other);
  return { medianMs: took[times >> 1] ?? 0, slowestMs: took.at(-1) ?? 0 };
}

async function rate(count: number, transfer: (index: number) => Promise<unknown>): Promise<number> {
  const started = performance.now();
  await Promise.all(Array.from({ length: count }, (_, index) => transfer(index)));
  return Math.round((count * LARGE_BYTES * 1_000) / (performance.now() - started));
}

async function race(store: Store): Promise<number> {
  const wins = await Promise.all(
    Array.from({ length: WRITERS }, async (_, index) => {
      try {
        await store.put('race', textOf(String(index)), { ifAbsent: true });
        return true;
      } catch (error) {
        if (hasCode(error, 'ALREADY_EXISTS')) return false;
        throw error;
      }
    }),
  );
  return wins.filter(Boolean).length;
}

async function listingOf(store: Store): Promise<Measurements['listing']> {
  let written = 0;
  let stale = 0;
  for (let index = 0; index < WRITERS; index += 1) {
    const key = `listed/${index}`;
    await store.put(key, textOf(''));
    written += Number(await shows(store, key));
    await store.delete([key]);
    stale += Number(await shows(store, key));
  }
  return { written, of: WRITERS, stale };
}

async function shows(store: Store, key: string): Promise<boolean> {
  for await (const info of store.list('listed/')) if (info.key === key) return true;
  return false;
}

async function clockAhead(store: Store): Promise<number> {
  const before = Date.now();
  await store.put('clock', textOf(''));
  const after = Date.now();
  const at = (await store.stat('clock'))?.modifiedAt.getTime() ?? before;
  // A store may keep whole seconds, or round; anything between the two readings of our own clock is no difference.
  const grain = at % 1_000 === 0 ? 1_000 : 10;
  if (at + grain < before) return at - before;
  return at > after + grain ? at - after : 0;
}
