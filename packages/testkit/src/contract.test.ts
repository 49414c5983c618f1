import { KeyframeError, type Store } from '@keyframe/contracts';
import { bytesOf, drain, textOf } from '@keyframe/contracts/streams';
import { describe, expect, it, test } from 'vitest';
import { type ContractCase, describeContract, faulty } from './index.ts';
import {
  breakingOff,
  cutShort,
  failing,
  failingFacet,
  flippedBit,
  fullAfter,
  losingAcknowledgement,
  partialDelete,
  readOnly,
  slow,
  staleListing,
  throttling,
} from './index.ts';
import { contentOf, createMemoryStore, createVersionedMemoryStore, storeCases } from './index.ts';

describeContract({ describe, it }, 'the memory store', storeCases, () => createMemoryStore());
describeContract({ describe, it }, 'the memory store with every facet', storeCases, () => createVersionedMemoryStore());
describeContract({ describe, it }, 'a store without conditions', storeCases, () =>
  createMemoryStore({ capabilities: { conditionalReplace: false } }),
);
describeContract({ describe, it }, 'a store with faults that never strike', storeCases, () =>
  faulty(createMemoryStore(), failing('put', { nth: 1e9 }), flippedBit(0, { key: /^none$/ }), fullAfter(1e12)),
);

/** The first case that such a store fails, of those that are for it. */
async function firstFailed(
  make: () => Store,
  of: (each: ContractCase<Store>) => boolean = () => true,
): Promise<string | undefined> {
  for (const { name, needs, run } of storeCases.filter(of)) {
    const store = make();
    if (needs !== undefined && !(await needs.met(store))) continue;
    const passed = await run(store).then(
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
  test('is whole: they find nothing', async () => {
    expect(await firstFailed(() => createMemoryStore())).toBeUndefined();
  });

  const brokenFacets: readonly (readonly [
    string,
    (store: Store) => { [Name in keyof Store]?: Store[Name] | undefined },
  ])[] = [
    ['forgets a lock', (s) => ({ put: (key, source, how) => s.put(key, source, { ...how, retainUntil: undefined }) })],
    [
      'lets a lock shrink',
      (s) => ({
        retention: s.retention && {
          enabled: () => Promise.resolve(true),
          until: (key, how) => s.retention?.until(key, how) ?? Promise.resolve(undefined),
          extend: () => Promise.resolve(),
        },
      }),
    ],
    [
      'reads the newest version whatever is asked for',
      (s) => ({ versions: s.versions && { ...s.versions, get: (key, _version, how) => s.get(key, how) } }),
    ],
    [
      'lists the newest versions only',
      (s) => ({
        versions: s.versions && {
          ...s.versions,
          list: async function* (prefix, how) {
            for await (const each of s.versions?.list(prefix, how) ?? []) if (each.latest) yield each;
          },
        },
      }),
    ],
    [
      'adds tags to those that are there',
      (s) => ({
        tags: s.tags && {
          of: (key) => s.tags?.of(key) ?? Promise.resolve({}),
          set: async (key, tags) => s.tags?.set(key, { ...(await s.tags?.of(key)), ...tags }),
        },
      }),
    ],
    ['names no class', (s) => ({ tiers: s.tiers && { ...s.tiers, classes: [] } })],
    [
      'gives every role the same rights',
      () => ({ access: { policy: () => ({ language: 'json', document: '{}', note: '' }) } }),
    ],
    [
      'is not encrypted as it was asked to be',
      (s) => ({ atRest: s.atRest && { ...s.atRest, wanted: { method: 'SSE-KMS' }, matches: () => false } }),
    ],
    ['forgets its rules', (s) => ({ lifecycle: s.lifecycle && { ...s.lifecycle, write: () => Promise.resolve() } })],
  ];
  test.concurrent.each(brokenFacets)('%s', async (_, change) => {
    const name = await firstFailed(
      () => {
        const store = createVersionedMemoryStore();
        return { ...store, ...change(store) } as Store;
      },
      // Those that a store without facets is not asked.
      ({ needs }) => needs !== undefined && needs.met(createMemoryStore()) === false,
    );
    expect(name).toBeDefined();
  });

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

  test('throttle with the details that the engine looks at', async () => {
    const store = faulty(await filled(), throttling('get', { times: 1, retryAfterMs: 70 }));
    await expect(read(store)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      details: { throttled: true, retryAfterMs: 70 },
    });
    expect(await read(store)).toBe('0123456789');
  });

  test('hide young objects from a listing', async () => {
    const store = faulty(await filled(), staleListing(50));
    await put(store, 'b');
    const names = (): Promise<string[]> => Array.fromAsync(store.list(''), ({ key }) => key);
    expect(await names()).toEqual(['a']);
    expect(await store.stat('b')).toBeDefined();
    await new Promise((resolve) => setTimeout(resolve, 60));
    expect(await names()).toEqual(['a', 'b']);
  });

  test('delete one half', async () => {
    const inner = createMemoryStore();
    for (const key of ['a', 'b', 'c', 'd']) await put(inner, key);
    const store = faulty(inner, partialDelete({ times: 1 }));
    await expect(store.delete(['a', 'b', 'c', 'd'])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await Array.fromAsync(store.list(''), ({ key }) => key)).toEqual(['c', 'd']);
    await store.delete(['a', 'b', 'c', 'd']);
    expect(await Array.fromAsync(store.list(''), ({ key }) => key)).toEqual([]);
  });

  test('strike a facet, in calls and in listings', async () => {
    const store = faulty(
      createVersionedMemoryStore(),
      failingFacet('versions', 'list', { times: 1 }),
      failingFacet('tags', 'of', { key: /^a$/ }),
    );
    await put(store, 'a');
    await put(store, 'b');
    await expect(Array.fromAsync(store.versions?.list('') ?? [])).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await Array.fromAsync(store.versions?.list('') ?? [])).toHaveLength(2);
    await expect(store.tags?.of('a')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await store.tags?.of('b')).toEqual({});
  });

  test('delay a call', async () => {
    const store = faulty(await filled(), slow('stat', 20, { times: 1 }));
    const started = performance.now();
    await store.stat('a');
    expect(performance.now() - started).toBeGreaterThan(15);
  });
});
