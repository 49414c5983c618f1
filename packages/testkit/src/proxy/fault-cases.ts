import { randomBytes } from 'node:crypto';
import { type Closable, hasCode, type Store } from '@keyframe/contracts';
import { bytesOf, drain, textOf } from '@keyframe/contracts/streams';
import { type ContractCase, faultOf, raises, same, sameBytes } from '../contract.ts';
import type { Dialect } from './envelopes.ts';
import type { FaultProxy, ProxyAim } from './fault-proxy.ts';
import { cutBody, cutUpload, flippedByte, flippedUploadByte, lostAcknowledgement, stalledBody } from './body-faults.ts';
import { reset, stalled, throttled } from './faults.ts';

/** A store over HTTP behind a proxy that harms. */
export interface HarmedStore extends Closable {
  /** Behind the proxy; sends parts of `partBytes`, and waits for a server that is merely slow. */
  readonly store: Store;
  /** The same, but it gives up what stands still within a second. Default: `store`, which then must. */
  readonly hasty?: Store | undefined;
  readonly proxy: FaultProxy;
  readonly dialect: Dialect;
  readonly partBytes: number;
  /** The request that stores a small object. */
  readonly upload: ProxyAim;
  /** The request that makes an object of several parts visible. */
  readonly finish: ProxyAim;
  /** A request that carries bytes of a part. */
  readonly part: ProxyAim;
}

const threeParts = ({ partBytes }: HarmedStore): Buffer => randomBytes(2 * partBytes + 12_345);

/** Whether `key` is told to be absent. */
async function isAbsent({ store, proxy }: HarmedStore, key: string): Promise<void> {
  proxy.clear();
  same(await store.stat(key), undefined);
  same((await Array.fromAsync(store.list(''))).length, 0, 'objects');
}

/** What every store over HTTP makes of a bad line. Each case wants a store without objects. */
export const httpFaultCases: readonly ContractCase<HarmedStore>[] = [
  {
    name: 'a create-only upload whose answer is lost took place: it succeeds',
    async run({ store, proxy, upload }) {
      const lost = proxy.add(lostAcknowledgement(), { ...upload, times: 1 });
      same((await store.put('a', textOf('one'), { ifAbsent: true })).sizeBytes, 3);
      same(lost.strikes, 1, 'answers lost');
      same((await drain(await store.get('a'))).toString(), 'one');
    },
  },
  {
    name: 'so does one in parts',
    async run(harmed) {
      const { store, proxy, finish } = harmed;
      const bytes = threeParts(harmed);
      const lost = proxy.add(lostAcknowledgement(), { ...finish, times: 1 });
      same((await store.put('a', bytesOf(bytes), { ifAbsent: true })).sizeBytes, bytes.length);
      same(lost.strikes, 1, 'answers lost');
      sameBytes(await drain(await store.get('a')), bytes);
    },
  },
  {
    name: 'an upload whose answer is lost, and that cannot be looked for, is found by the next attempt',
    async run({ store, proxy, upload }) {
      proxy.add(lostAcknowledgement(), { ...upload, times: 1 });
      proxy.add(reset(), { method: /^(GET|HEAD)$/ });
      await raises('UNAVAILABLE', () => store.put('a', textOf('one'), { ifAbsent: true }));
      proxy.clear();
      same((await store.put('a', textOf('one'), { ifAbsent: true })).sizeBytes, 3);
      await raises('ALREADY_EXISTS', () => store.put('a', textOf('one'), { ifAbsent: true }));
    },
  },
  {
    name: 'a lost answer does not hide that another was first',
    async run({ store, proxy, upload }) {
      await store.put('a', textOf('one'));
      proxy.add(lostAcknowledgement(), { ...upload, times: 1 });
      await raises('ALREADY_EXISTS', () => store.put('a', textOf('one'), { ifAbsent: true }));
    },
  },
  {
    name: 'an upload that is cut leaves nothing visible, in one request or in parts',
    async run(harmed) {
      const { store, proxy, upload, part } = harmed;
      proxy.add(cutUpload(20_000), upload);
      await raises('UNAVAILABLE', () => store.put('a', bytesOf(randomBytes(100_000)), { ifAbsent: true }));
      await isAbsent(harmed, 'a');
      proxy.add(cutUpload(harmed.partBytes / 2), { ...part, nth: 2 });
      await raises('UNAVAILABLE', () => store.put('a', bytesOf(threeParts(harmed)), { ifAbsent: true }));
      await isAbsent(harmed, 'a');
    },
  },
  {
    name: 'an upload that is damaged on the line is not kept, in one request or in parts',
    async run(harmed) {
      const { store, proxy, upload, part } = harmed;
      proxy.add(flippedUploadByte(50_000), { ...upload, times: 1 });
      await raises('UNAVAILABLE', () => store.put('a', bytesOf(randomBytes(100_000)), { ifAbsent: true }));
      await isAbsent(harmed, 'a');
      proxy.add(flippedUploadByte(50_000), { ...part, times: 1 });
      await raises('UNAVAILABLE', () => store.put('a', bytesOf(threeParts(harmed)), { ifAbsent: true }));
      await isAbsent(harmed, 'a');
    },
  },
  {
    name: 'an object that is damaged on the line is told at the end of its bytes',
    async run({ store, proxy }) {
      await store.put('a', bytesOf(randomBytes(200_000)));
      proxy.add(flippedByte(100_000), { method: 'GET' });
      await raises('CORRUPT', async () => drain(await store.get('a')));
    },
  },
  {
    name: 'a body that breaks off gives what came, then UNAVAILABLE, and a range gives the rest',
    async run({ store, hasty = store, proxy }) {
      const bytes = randomBytes(300_000);
      await store.put('a', bytesOf(bytes));
      for (const [reader, fault] of [[store, cutBody(100_000)] as const, [hasty, stalledBody(100_000)] as const]) {
        proxy.add(fault, { method: 'GET' });
        const got: Uint8Array[] = [];
        const error = await faultOf(async () => {
          for await (const chunk of await reader.get('a')) got.push(chunk);
        });
        same(hasCode(error, 'UNAVAILABLE'), true, String(error));
        proxy.clear();
        const start = got.reduce((sum, chunk) => sum + chunk.length, 0);
        sameBytes(Buffer.concat([...got, await drain(await store.get('a', { range: { start } }))]), bytes);
      }
    },
  },
  {
    name: 'a server that asks to slow down is told as such, with the time it asks for',
    async run({ store, proxy, dialect }) {
      proxy.add(throttled(dialect, 7));
      for (const act of everything(store)) {
        const error = await faultOf(act);
        same(hasCode(error, 'UNAVAILABLE') && error.details['throttled'], true, String(error));
        same(hasCode(error, 'UNAVAILABLE') && error.details['retryAfterMs'], 7_000, String(error));
      }
    },
  },
  {
    name: 'a server that is not there, resets or stands still is UNAVAILABLE, never an absent object',
    async run({ store, hasty = store, proxy }) {
      for (const [harmed, fault] of [[store, reset()] as const, [hasty, stalled()] as const]) {
        proxy.add(fault);
        for (const act of everything(harmed)) await raises('UNAVAILABLE', act);
        proxy.clear();
      }
      await proxy.down();
      for (const act of everything(store)) await raises('UNAVAILABLE', act);
      await proxy.up();
      same(await store.stat('a'), undefined);
    },
  },
];

const everything = (store: Store): (() => Promise<unknown>)[] => [
  () => store.put('a', textOf('x')),
  () => store.get('a'),
  () => store.stat('a'),
  () => Array.fromAsync(store.list('')),
  () => store.delete(['a']),
];
