import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode, KeyframeError, type Store } from '@keyframe/contracts';
import { drain, textOf } from '@keyframe/contracts/streams';
import { describe, expect, it } from 'vitest';
import type { RetryPolicy } from './patience.ts';
import { retrying } from './retry.ts';

const QUICK: RetryPolicy = { deadlineMs: 1_000, firstPauseMs: 1, maxPauseMs: 2 };
const broken = (): KeyframeError => new KeyframeError('UNAVAILABLE', 'connection reset');

/** A store of one object, whose calls fail as `faults` says: the n-th call of a method throws while n is below its number. */
function flaky(faults: { put?: number; get?: number; body?: number[]; list?: number }): Store & { calls: string[] } {
  const counts = { put: 0, get: 0, list: 0 };
  const content = Buffer.from('0123456789');
  const calls: string[] = [];
  return {
    calls,
    capabilities: {},
    async put(key, source) {
      counts.put += 1;
      calls.push(`put ${(await drain(source.open())).toString()}`);
      if (counts.put <= (faults.put ?? 0)) throw broken();
      return { key, sizeBytes: 10, modifiedAt: new Date(0) };
    },
    async get(_key, { range } = {}) {
      counts.get += 1;
      calls.push(`get ${range?.start ?? 0}`);
      if (counts.get <= (faults.get ?? 0)) throw broken();
      const cut = faults.body?.shift();
      return (async function* () {
        const rest = content.subarray(range?.start ?? 0, range?.end);
        yield cut === undefined ? rest : rest.subarray(0, cut);
        if (cut !== undefined) throw broken();
      })();
    },
    async stat() {
      throw new KeyframeError('ACCESS_DENIED', '403');
    },
    async *list() {
      counts.list += 1;
      yield { key: 'a', sizeBytes: 1, modifiedAt: new Date(0) };
      if (counts.list <= (faults.list ?? 0)) throw broken();
      yield { key: 'b', sizeBytes: 1, modifiedAt: new Date(0) };
    },
    async delete() {
      calls.push('delete');
    },
  };
}

describe('retrying', () => {
  it('opens the source again for every attempt', async () => {
    const store = flaky({ put: 2 });
    await retrying(store, QUICK).put('k', textOf('abc'));
    expect(store.calls).toEqual(['put abc', 'put abc', 'put abc']);
  });

  it('takes a broken body up where it broke', async () => {
    const store = flaky({ body: [3, 4] });
    const stream = await retrying(store, QUICK).get('k', { range: { start: 1, end: 9 } });
    expect((await drain(stream)).toString()).toBe('12345678');
    expect(store.calls).toEqual(['get 1', 'get 4', 'get 8']);
  });

  it('gives up a body that never gets further', async () => {
    const stream = await retrying(flaky({ body: Array.from({ length: 50 }, () => 0) }), QUICK).get('k');
    await expect(drain(stream)).rejects.toSatisfy((error) => hasCode(error, 'UNAVAILABLE'));
  });

  it('lists every key once although the listing broke', async () => {
    const keys: string[] = [];
    for await (const { key } of retrying(flaky({ list: 2 }), QUICK).list('')) keys.push(key);
    expect(keys).toEqual(['a', 'b']);
  });

  it('passes every other fault at once', async () => {
    await expect(retrying(flaky({}), QUICK).stat('k')).rejects.toSatisfy((error) => hasCode(error, 'ACCESS_DENIED'));
  });

  it('stops at the deadline with the store’s own fault', async () => {
    const store = flaky({ put: 1_000 });
    const put = retrying(store, { deadlineMs: 30, firstPauseMs: 5, maxPauseMs: 10 }).put('k', textOf('abc'));
    await expect(put).rejects.toSatisfy((error) => hasCode(error, 'UNAVAILABLE'));
    expect(store.calls.length).toBeLessThan(20);
  });

  it('tries an upload again that took longer than the deadline before it failed', async () => {
    const quick = flaky({ put: 1 });
    const slow: Store = {
      ...quick,
      put: async (key, source, options) => {
        if (quick.calls.length === 0) await sleep(60);
        return quick.put(key, source, options);
      },
    };
    await retrying(slow, { deadlineMs: 30, firstPauseMs: 1, maxPauseMs: 2 }).put('k', textOf('abc'));
    expect(quick.calls).toEqual(['put abc', 'put abc']);
  });

  it('ends with the reason of the abort', async () => {
    const abort = new AbortController();
    const policy = { deadlineMs: 60_000, firstPauseMs: 10_000, maxPauseMs: 10_000 };
    const put = retrying(flaky({ put: 1_000 }), policy).put('k', textOf('a'), { signal: abort.signal });
    const lost = new KeyframeError('LOCKED', 'another backup took the lease');
    setTimeout(() => abort.abort(lost), 10);
    await expect(put).rejects.toBe(lost);
  });

  it('stops at once when aborted', async () => {
    const abort = new AbortController();
    const put = retrying(flaky({ put: 1_000 }), { deadlineMs: 60_000, firstPauseMs: 10_000, maxPauseMs: 10_000 }).put(
      'k',
      textOf('a'),
      {
        signal: abort.signal,
      },
    );
    setTimeout(() => abort.abort(), 10);
    await expect(put).rejects.toThrow(/abort/i);
  });
});
