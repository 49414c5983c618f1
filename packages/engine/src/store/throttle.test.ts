import { KeyframeError, type Store } from '@keyframe/contracts';
import { drain, textOf } from '@keyframe/contracts/streams';
import { createMemoryStore, failing, faulty } from '@keyframe/testkit';
import { describe, expect, it } from 'vitest';
import { type PaceEvent, Pacer, type PacePolicy } from './pacer.ts';
import type { RetryPolicy } from './patience.ts';
import { retrying } from './retry.ts';

const PACE: PacePolicy = { firstPauseMs: 20, maxPauseMs: 40, minPerSecond: 50, recoverySeconds: 0.2 };
const QUICK: RetryPolicy = { deadlineMs: 30, firstPauseMs: 1, maxPauseMs: 2, pace: PACE };
const refusal = (retryAfterMs?: number): KeyframeError =>
  new KeyframeError('UNAVAILABLE', 'slow down', { details: { throttled: true, retryAfterMs } });

/** Takes so many calls a window, refuses those beyond, and notes when each was made. */
function limitedStore(perWindow: number, windowMs: number): { store: Store; taken: number[]; refused: () => number } {
  const taken: number[] = [];
  let refusals = 0;
  const inner = createMemoryStore();
  return {
    taken,
    refused: () => refusals,
    store: {
      ...inner,
      async stat(key, options) {
        const now = performance.now();
        if (taken.filter((at) => at > now - windowMs).length >= perWindow) {
          refusals += 1;
          throw refusal();
        }
        taken.push(now);
        return inner.stat(key, options);
      },
    },
  };
}

describe('a store that asks to slow down', () => {
  it('is asked more slowly by all calls of the process, and none fails although the refusals outlast the deadline', async () => {
    const { store, taken, refused } = limitedStore(10, 100);
    const patient = retrying(store, QUICK);
    await Promise.all(Array.from({ length: 60 }, () => patient.stat('k')));
    expect(taken).toHaveLength(60);
    // Without a common pace each of 60 calls would be refused in each of six windows.
    expect(refused()).toBeLessThan(150);
  });

  it('is left alone for as long as it says, by calls that it never refused, too', async () => {
    const patient = retrying(faulty(createMemoryStore(), failing('put', { error: refusal(120), times: 1 })), QUICK);
    const started = performance.now();
    const put = patient.put('k', textOf('x'));
    await new Promise((resolve) => setTimeout(resolve, 5));
    await patient.stat('k');
    expect(performance.now() - started).toBeGreaterThan(115);
    await put;
  });

  it('has its refusal passed on when it asks for longer than the patience', async () => {
    const store = faulty(createMemoryStore(), failing('stat', { error: refusal(3_600_000) }));
    await expect(retrying(store, QUICK).stat('k')).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      details: { throttled: true },
      hint: expect.stringContaining('request limit') as string,
    });
  });

  it('has its refusal passed on at last', async () => {
    const store = faulty(createMemoryStore(), failing('stat', { error: refusal() }));
    const started = performance.now();
    await expect(retrying(store, { ...QUICK, patienceMs: 100 }).stat('k')).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    expect(performance.now() - started).toBeGreaterThan(95);
  });

  it('slows listings, reads and facets down as well', async () => {
    const inner = createMemoryStore();
    await inner.put('a', textOf('0123'));
    let refusals = 3;
    const refuse = (): void => {
      if ((refusals -= 1) >= 0) throw refusal(1);
    };
    const store: Store = {
      ...inner,
      get: async (key, options) => (refuse(), inner.get(key, options)),
      list: async function* (prefix, options) {
        refuse();
        yield* inner.list(prefix, options);
      },
      tags: { of: async () => (refuse(), { kept: 'yes' }), set: async () => undefined },
    };
    const patient = retrying(store, QUICK);
    expect((await drain(await patient.get('a'))).toString()).toBe('0123');
    expect(await Array.fromAsync(patient.list(''), ({ key }) => key)).toEqual(['a']);
    refusals = 1;
    expect(await patient.tags?.of('a')).toEqual({ kept: 'yes' });
    expect(refusals).toBeLessThan(0);
  });
});

describe('a pacer', () => {
  it('does not wait before a refusal, nor long after the last one', async () => {
    const events: PaceEvent['kind'][] = [];
    const pacer = new Pacer({ ...PACE, onEvent: ({ kind }) => events.push(kind) });
    const before = performance.now();
    for (let count = 0; count < 1_000; count += 1) pacer.succeeded(await pacer.start(undefined));
    expect(performance.now() - before).toBeLessThan(200);
    pacer.throttled(await pacer.start(undefined), undefined);
    for (let count = 0; count < 10_000 && !events.includes('free'); count += 1)
      pacer.succeeded(await pacer.start(undefined));
    expect(events).toEqual(['slower', 'free']);
  });

  it('slows down once for calls that were refused together', async () => {
    const events: PaceEvent[] = [];
    const pacer = new Pacer({ ...PACE, onEvent: (event) => events.push(event) });
    const starts = await Promise.all(Array.from({ length: 20 }, () => pacer.start(undefined)));
    for (const at of starts) pacer.throttled(at, undefined);
    expect(events).toHaveLength(1);
  });

  it('lets go at once of who is aborted in the queue', async () => {
    const pacer = new Pacer(PACE);
    pacer.throttled(await pacer.start(undefined), 300);
    const abort = new AbortController();
    const first = pacer.start(undefined);
    const second = pacer.start(abort.signal);
    const third = pacer.start(undefined);
    const reason = new Error('enough');
    const started = performance.now();
    abort.abort(reason);
    await expect(second).rejects.toBe(reason);
    expect(performance.now() - started).toBeLessThan(100);
    await first;
    await third;
  });
});
