import { KeyframeError, type Store } from '@keyframe/contracts';
import { bytesOf, drain } from '@keyframe/contracts/streams';
import { createMemoryStore } from '@keyframe/testkit';
import { describe, expect, it } from 'vitest';
import type { RetryPolicy } from './patience.ts';
import { retrying } from './retry.ts';

const IDLE: RetryPolicy = {
  deadlineMs: 20,
  firstPauseMs: 1,
  maxPauseMs: 2,
  stall: { idleMs: 40, minBytesPerSecond: 1_000_000 },
};
const never = <T>(): Promise<T> => new Promise(() => undefined);
const pause = (milliseconds: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, milliseconds));
const stalled = { code: 'UNAVAILABLE', details: { stalled: true } };

function store(changed: Partial<Store>): Store {
  return retrying({ ...createMemoryStore(), ...changed }, IDLE);
}

describe('a store that hangs', () => {
  it('is given up in every operation, although the adapter never ends', async () => {
    const hung = store({
      put: never,
      get: never,
      stat: never,
      delete: never,
      list: async function* () {
        await never();
        yield* [];
      },
      tags: { of: never, set: never },
    });
    await expect(hung.put('k', bytesOf(Buffer.alloc(10)))).rejects.toMatchObject(stalled);
    await expect(hung.get('k')).rejects.toMatchObject(stalled);
    await expect(hung.stat('k')).rejects.toMatchObject(stalled);
    await expect(hung.delete(['k'])).rejects.toMatchObject(stalled);
    await expect(Array.fromAsync(hung.list(''))).rejects.toMatchObject(stalled);
    await expect(hung.tags?.of('k')).rejects.toMatchObject(stalled);
  });

  it('has its attempt aborted, and is asked again', async () => {
    const seen: unknown[] = [];
    const again = store({
      stat: async (_key, { signal } = {}) => {
        if (seen.length > 0) return undefined;
        return await new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => {
            seen.push(signal.reason);
            reject(new Error('as told'));
          });
        });
      },
    });
    expect(await again.stat('k')).toBeUndefined();
    expect(seen).toHaveLength(1);
    expect(seen[0]).toBeInstanceOf(KeyframeError);
  });

  it('has a body taken up that stops in the middle', async () => {
    let hangs = true;
    const inner = createMemoryStore();
    await inner.put('k', bytesOf(Buffer.from('0123456789')));
    const halting: Store = {
      ...inner,
      get: async (key, options) =>
        (async function* () {
          const bytes = await drain(await inner.get(key, options));
          yield bytes.subarray(0, 4);
          if (hangs) {
            hangs = false;
            await never();
          }
          yield bytes.subarray(4);
        })(),
    };
    expect((await drain(await retrying(halting, IDLE).get('k'))).toString()).toBe('0123456789');
  });
});

describe('no stall', () => {
  it('is a source that takes its time, nor a reader', async () => {
    const slow = {
      sizeBytes: 2,
      open: async function* () {
        yield Buffer.from('a');
        await pause(80);
        yield Buffer.from('b');
        await pause(80);
      },
    };
    const plain = store({});
    await plain.put('k', slow);
    for await (const chunk of await plain.get('k')) {
      expect(chunk).toHaveLength(2);
      await pause(80);
    }
  });

  it('is an upload on a slow line: what was taken buys time', async () => {
    const inner = createMemoryStore();
    const slow: Store = {
      ...inner,
      put: async (key, source, options) => {
        const bytes = await drain(source.open());
        await pause(100);
        return inner.put(key, bytesOf(bytes), options);
      },
    };
    await retrying(slow, IDLE).put('k', bytesOf(Buffer.alloc(200_000)));
    expect((await inner.stat('k'))?.sizeBytes).toBe(200_000);
  });

  it('is the caller’s own abort', async () => {
    const abort = new AbortController();
    const reason = new Error('enough');
    const waiting = store({
      stat: (_key, { signal } = {}) =>
        new Promise((_resolve, reject) => {
          signal?.addEventListener('abort', () => reject(signal.reason as Error));
        }),
    }).stat('k', { signal: abort.signal });
    abort.abort(reason);
    await expect(waiting).rejects.toBe(reason);
  });
});
