import { randomBytes } from 'node:crypto';
import type { Store } from '@keyframe/contracts';
import { bytesOf, drain } from '@keyframe/contracts/streams';
import { type ContractCase, faultOf, raises, same, sameBytes } from '../contract.ts';
import { type Scope, storeCase } from './scope.ts';

const part = async (scope: Scope, name: string, start: number, end?: number): Promise<Buffer> =>
  drain(await scope.store.get(scope.key(name), { range: end === undefined ? { start } : { start, end } }));

/** `get` and `stat`. */
export const readCases: readonly ContractCase<Store>[] = [
  storeCase('get of a missing key rejects at once with NOT_FOUND, with a range too', async (scope) => {
    await raises('NOT_FOUND', () => scope.store.get(scope.key('no/such')));
    await raises('NOT_FOUND', () => scope.store.get(scope.key('none'), { range: { start: 5 } }));
  }),
  storeCase('stat of a missing key is undefined', async (scope) => {
    same(await scope.store.stat(scope.key('no/such')), undefined);
  }),
  storeCase('a prefix of a key is no object, and nothing lies below an object', async (scope) => {
    await scope.write('d/e/1');
    for (const name of ['d', 'd/e', 'd/e/1/deeper']) {
      same(await scope.store.stat(scope.key(name)), undefined);
      await raises('NOT_FOUND', () => scope.store.get(scope.key(name)));
    }
  }),
  storeCase('a range is half-open and cut to the object', async (scope) => {
    await scope.write('r', '0123456789');
    same((await part(scope, 'r', 2, 5)).toString(), '234');
    same((await part(scope, 'r', 0, 1)).toString(), '0');
    same((await part(scope, 'r', 9, 10)).toString(), '9');
    same((await part(scope, 'r', 8)).toString(), '89');
    same((await part(scope, 'r', 0, 10)).toString(), '0123456789');
    same((await part(scope, 'r', 7, 1_000)).toString(), '789');
  }),
  storeCase('an empty range and one past the end give no bytes', async (scope) => {
    await scope.write('r', '0123456789');
    await scope.write('empty', '');
    same((await part(scope, 'r', 4, 4)).length, 0);
    same((await part(scope, 'r', 10)).length, 0);
    same((await part(scope, 'r', 50, 60)).length, 0);
    same((await part(scope, 'empty', 0)).length, 0);
    same((await part(scope, 'empty', 0, 5)).length, 0);
  }),
  storeCase('ranges of a large object are exact', async (scope) => {
    const whole = randomBytes(3_000_000);
    await scope.store.put(scope.key('r'), bytesOf(whole));
    const ranges = [
      [1, 2_999_999],
      [262_143, 262_145],
      [1_048_576, 2_097_152],
      [2_999_999, 3_000_000],
    ] as const;
    for (const [start, end] of ranges) sameBytes(await part(scope, 'r', start, end), whole.subarray(start, end));
  }),
  storeCase('readers of one object do not disturb each other', async (scope) => {
    const whole = randomBytes(1_000_000);
    await scope.store.put(scope.key('r'), bytesOf(whole));
    const streams = await Promise.all(Array.from({ length: 16 }, () => scope.store.get(scope.key('r'))));
    for (const bytes of await Promise.all(streams.map(drain))) sameBytes(bytes, whole);
  }),
  storeCase('chunks already given out stay as they are while the next are read', async (scope) => {
    const whole = randomBytes(2_000_000);
    await scope.store.put(scope.key('r'), bytesOf(whole));
    sameBytes(Buffer.concat(await Array.fromAsync(await scope.store.get(scope.key('r')))), whole);
  }),
  storeCase('a reader may leave early', async (scope) => {
    await scope.store.put(scope.key('r'), bytesOf(randomBytes(3_000_000)));
    for (let round = 0; round < 20; round += 1) {
      for await (const chunk of await scope.store.get(scope.key('r'))) {
        same(chunk.length > 0, true, 'a chunk has bytes');
        break;
      }
    }
    await scope.write('r', 'after');
    same(await scope.read('r'), 'after');
  }),
  storeCase('an aborted get rejects with the reason, before and in the middle', async (scope) => {
    await scope.store.put(scope.key('r'), bytesOf(randomBytes(3_000_000)));
    const early = AbortSignal.abort(new Error('early'));
    same(await faultOf(() => scope.store.get(scope.key('r'), { signal: early })), early.reason);
    const controller = new AbortController();
    const { signal } = controller;
    const seen = await faultOf(async () => {
      for await (const { length } of await scope.store.get(scope.key('r'), { signal }))
        controller.abort(new Error(`after ${length} bytes`));
    });
    same(seen, signal.reason);
  }),
  storeCase('an aborted stat, list and delete reject with the reason', async (scope) => {
    await scope.write('r', 'kept');
    const signal = AbortSignal.abort(new Error('early'));
    same(await faultOf(() => scope.store.stat(scope.key('r'), { signal })), signal.reason);
    same(await faultOf(() => Array.fromAsync(scope.store.list(scope.prefix, { signal }))), signal.reason);
    same(await faultOf(() => scope.store.delete([scope.key('r')], { signal })), signal.reason);
    same(await scope.read('r'), 'kept');
  }),
  storeCase('close may be called more than once', async ({ store }) => {
    await store.stat('keyframe-check');
    await store.close?.();
    await store.close?.();
  }),
];
