import { KeyframeError, type Store } from '@keyframe/contracts';
import { bytesOf, drain, textOf } from '@keyframe/contracts/streams';
import { describe, expect, it, test } from 'vitest';
import { describeContract, faulty } from './index.ts';
import {
  breakingOff,
  cutShort,
  failing,
  flippedBit,
  fullAfter,
  losingAcknowledgement,
  readOnly,
  slow,
} from './index.ts';
import { contentOf, createMemoryStore, storeCases } from './index.ts';

describeContract({ describe, it }, 'the memory store', storeCases, () => createMemoryStore());
describeContract({ describe, it }, 'a store without conditions', storeCases, () =>
  createMemoryStore({ capabilities: { conditionalReplace: false } }),
);
describeContract({ describe, it }, 'a store with faults that never strike', storeCases, () =>
  faulty(createMemoryStore(), failing('put', { nth: 1e9 }), flippedBit(0, { key: /^none$/ }), fullAfter(1e12)),
);

/** The first case that such a store fails. */
async function firstFailed(make: () => Store): Promise<string | undefined> {
  for (const { name, run } of storeCases) {
    const passed = await run(make()).then(
      () => true,
      () => false,
    );
    if (!passed) return name;
  }
  return undefined;
}

describe('the cases notice a store that', () => {
  const broken: readonly (readonly [string, (store: Store) => Partial<Store>])[] = [
    ['ignores ifAbsent', (s) => ({ put: (key, source, { signal } = {}) => s.put(key, source, { signal }) })],
    ['ignores a range', (s) => ({ get: (key) => s.get(key) })],
    [
      'takes the end of a range as inclusive',
      (s) => ({
        get: (key, { range, ...rest } = {}) =>
          s.get(
            key,
            range?.end === undefined
              ? { ...rest, ...(range && { range }) }
              : { range: { ...range, end: range.end + 1 } },
          ),
      }),
    ],
    ['ignores signals', (s) => ({ stat: (key) => s.stat(key), delete: (keys) => s.delete(keys) })],
    [
      'lists one page only',
      (s) => ({
        list: async function* (prefix) {
          let left = 1000;
          for await (const info of s.list(prefix)) if ((left -= 1) >= 0) yield info;
        },
      }),
    ],
    ['answers undefined for a fault', (s) => ({ stat: (key) => s.stat(key).catch(() => undefined) })],
    [
      'stores what it got before the fault',
      (s) => ({
        put: async (key, source, options) => {
          const chunks: Uint8Array[] = [];
          try {
            for await (const chunk of source.open()) chunks.push(chunk);
          } finally {
            await s.put(key, bytesOf(...chunks), options);
          }
          return s.put(key, bytesOf(...chunks));
        },
      }),
    ],
  ];
  test.each(broken)('%s', async (_, change) => {
    const name = await firstFailed(() => {
      const store = createMemoryStore();
      return { ...store, ...change(store) };
    });
    expect(name).toBeDefined();
  });
});

const put = (store: Store, key: string, text = key) => store.put(key, textOf(text));
const filled = async (): Promise<Store> => {
  const store = createMemoryStore();
  await put(store, 'a', '0123456789');
  return store;
};
const read = async (store: Store, start = 0) => (await drain(await store.get('a', { range: { start } }))).toString();

describe('faults', () => {
  test('fail the calls aimed at', async () => {
    const inner = createMemoryStore();
    const store = faulty(inner, failing('put', { key: /^x/, nth: 2, times: 1 }));
    await put(store, 'x1');
    await put(store, 'y');
    await expect(put(store, 'x2')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await inner.stat('x2')).toBeUndefined();
    await put(store, 'x2');
  });

  test('fail with the error given, in lists and deletes too', async () => {
    const error = new KeyframeError('ACCESS_DENIED', 'no');
    const store = faulty(createMemoryStore(), failing('list', { error }), failing('delete', { error, key: /b/ }));
    await expect(Array.fromAsync(store.list('a'))).rejects.toBe(error);
    await store.delete(['a']);
    await expect(store.delete(['a', 'b'])).rejects.toBe(error);
  });

  test('lose an acknowledgement', async () => {
    const store = faulty(createMemoryStore(), losingAcknowledgement({ times: 1 }));
    await expect(put(store, 'k')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect((await contentOf(store, 'k'))?.toString()).toBe('k');
  });

  test('fill the disk, in the middle of an object', async () => {
    const store = faulty(createMemoryStore(), fullAfter(10));
    await put(store, 'k', '123456');
    await expect(put(store, 'l', '123456')).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      details: { system: 'ENOSPC' },
    });
    expect(await contentOf(store, 'l')).toBeUndefined();
  });

  test('make a store read-only', async () => {
    const store = faulty(await filled(), readOnly());
    await expect(put(store, 'k')).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await expect(store.delete(['a'])).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    expect(await read(store)).toBe('0123456789');
  });

  test('flip a bit of the object, whatever range is read', async () => {
    const store = faulty(await filled(), flippedBit(4, { bit: 1 }));
    expect(await read(store)).toBe('0123656789');
    expect(await read(store, 3)).toBe('3656789');
    expect(await read(store, 5)).toBe('56789');
  });

  test('cut the object short or break off in it', async () => {
    expect(await read(faulty(await filled(), cutShort(4)))).toBe('0123');
    expect(await read(faulty(await filled(), cutShort(4)), 6)).toBe('');
    await expect(read(faulty(await filled(), breakingOff(4)))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  test('delay a call', async () => {
    const store = faulty(await filled(), slow('stat', 20, { times: 1 }));
    const started = performance.now();
    await store.stat('a');
    expect(performance.now() - started).toBeGreaterThan(15);
  });
});
