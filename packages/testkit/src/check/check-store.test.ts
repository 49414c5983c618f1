import type { Store } from '@keyframe/contracts';
import { textOf } from '@keyframe/contracts/streams';
import { describe, expect, it } from 'vitest';
import { checkStore, createMemoryStore, createVersionedMemoryStore, storeCases } from '../index.ts';

const FEW = storeCases.slice(0, 12);
const keysOf = (store: Store): Promise<string[]> => Array.fromAsync(store.list(''), ({ key }) => key);
const shared = (store: Store) => ({ make: () => store });

describe('checkStore', () => {
  it('finds nothing wrong with a store that keeps its contract, and leaves nothing but what was there', async () => {
    const store = createMemoryStore();
    await store.put('clusters/main/x', textOf('kept'));
    const report = await checkStore(shared(store));
    expect(report).toMatchObject({ verdict: 'good', measureFault: undefined });
    expect(report.cases.filter(({ status }) => status === 'failed')).toEqual([]);
    expect(report.cases).toHaveLength(storeCases.length);
    expect(report.measured).toMatchObject({ winners: 1, listing: { written: 16, stale: 0 }, clockAheadMs: 0 });
    expect(await keysOf(store)).toEqual(['clusters/main/x']);
  }, 20_000);

  it('touches no key outside of its prefix', async () => {
    const inner = createMemoryStore();
    const touched = new Set<string>();
    const note = (key: string): void => void touched.add(key.slice(0, 8));
    const store: Store = {
      ...inner,
      put: (key, ...rest) => (note(key), inner.put(key, ...rest)),
      get: (key, ...rest) => (note(key), inner.get(key, ...rest)),
      stat: (key, ...rest) => (note(key), inner.stat(key, ...rest)),
      list: (key, ...rest) => (note(key), inner.list(key, ...rest)),
      delete: (keys, ...rest) => (keys.forEach(note), inner.delete(keys, ...rest)),
    };
    await checkStore({ ...shared(store), prefix: 'a/check/', cases: storeCases.slice(0, 40) });
    expect([...touched]).toEqual(['a/check/']);
  }, 20_000);

  it('calls a store broken that says it refuses a second creator and does not', async () => {
    const inner = createMemoryStore();
    const store: Store = {
      ...inner,
      put: (key, source, { signal } = {}) => inner.put(key, source, { signal }),
    };
    const report = await checkStore({ ...shared(store), cases: FEW });
    expect(report.verdict).toBe('broken');
    expect(report.facts.find(({ id }) => id === 'conditional-put')).toMatchObject({ verdict: 'wrong' });
  });

  it('calls a store limited that admits what it cannot do', async () => {
    const store = createMemoryStore({ capabilities: { rangeRead: false } });
    expect(await checkStore({ ...shared(store), cases: FEW })).toMatchObject({ verdict: 'limited' });
  });

  it('tells a clock that differs', async () => {
    const store = createMemoryStore({ now: () => new Date(Date.now() + 60_000) });
    const report = await checkStore({ ...shared(store), cases: [] });
    expect(report.verdict).toBe('limited');
    expect(report.measured?.clockAheadMs).toBeGreaterThan(58_000);
  });

  it('leaves no version and no marker', async () => {
    const store = createVersionedMemoryStore();
    await checkStore({ ...shared(store), cases: FEW });
    expect(await Array.fromAsync(store.versions?.list('') ?? [])).toEqual([]);
  });

  it('cleans up when it is aborted, and after one that was killed', async () => {
    const store = createMemoryStore();
    await store.put('keyframe-check/20200101000000000-0123abcd/x', textOf('left'));
    const abort = new AbortController();
    const reason = new Error('enough');
    const onStep = (_what: string, done: number): void => {
      if (done > 0.5) abort.abort(reason);
    };
    await expect(checkStore({ ...shared(store), signal: abort.signal, onStep, cases: FEW })).rejects.toBe(reason);
    expect(await keysOf(store)).toEqual([]);
  });

  it('refuses a bucket that would keep what it writes', async () => {
    const inner = createVersionedMemoryStore();
    const store: Store = {
      ...inner,
      put: (key, source, how) => inner.put(key, source, { ...how, retainUntil: new Date(Date.now() + 3_600_000) }),
      // The memory store deletes behind a marker, as a locked bucket does.
      versions: { ...inner.versions, enabled: () => Promise.resolve(false) } as Store['versions'] & object,
    };
    await expect(checkStore({ ...shared(store), cases: FEW })).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });
});
