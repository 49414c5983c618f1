import { randomUUID } from 'node:crypto';
import { setTimeout as sleep } from 'node:timers/promises';
import { hasCode, type Store } from '@keyframe/contracts';
import { bytesOf, textOf } from '@keyframe/contracts/streams';
import { contentOf, createMemoryStore, failing, faulty } from '@keyframe/testkit';
import { describe, expect, it } from 'vitest';
import { HeldLease } from '../held-lease.ts';
import { memoryJournal } from './journal.ts';
import { sealed, testMirror } from './mirrored-store.fixture.ts';

const once = { ifAbsent: true };
const text = async (store: Store | undefined, key: string): Promise<string | undefined> =>
  store === undefined ? undefined : (await contentOf(store, key))?.toString();

/** Answers after a random while, so that two writers meet in another order on every store. */
function jittery(store: Store): Store {
  const wait = (): Promise<void> => sleep(Math.random() * 4);
  return {
    capabilities: store.capabilities,
    put: async (...args) => (await wait(), store.put(...args)),
    get: async (...args) => (await wait(), store.get(...args)),
    stat: async (...args) => (await wait(), store.stat(...args)),
    list: (...args) => store.list(...args),
    delete: async (...args) => (await wait(), store.delete(...args)),
  };
}

describe('writers who race for one name', () => {
  it.each(['ab', 'abc', 'abcd', 'abcde'])(
    'on the stores %s: exactly one wins, and its object is read',
    async (names) => {
      const mirror = await testMirror(names);
      for (const name of names) mirror.stores[name] = jittery(mirror.plain[name] ?? createMemoryStore());
      for (let round = 0; round < 3; round += 1) {
        const key = `race/${round}`;
        const texts = Array.from({ length: 3 }, () => randomUUID());
        const results = await Promise.allSettled(texts.map((content) => mirror.open().put(key, textOf(content), once)));
        const won = texts.filter((_, index) => results[index]?.status === 'fulfilled');
        const lost = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as unknown] : []));
        expect(won.length).toBeLessThanOrEqual(1);
        expect(lost.filter((reason) => !hasCode(reason, 'ALREADY_EXISTS', 'UNAVAILABLE'))).toEqual([]);
        if (won.length === 0) continue;
        const holders = await Promise.all(names.split('').map((name) => text(mirror.plain[name], key)));
        expect(holders.filter((content) => content === won[0]).length).toBeGreaterThan(names.length / 2);
      }
    },
  );

  it('two writers who reach different stores cannot both win', async () => {
    const mirror = await testMirror();
    const { a, b, c } = mirror.plain;
    const out = (store: Store | undefined): Store =>
      faulty(store ?? createMemoryStore(), failing('put'), failing('get'), failing('stat'));
    const one = await testMirror('');
    expect(one.events).toEqual([]);
    mirror.stores['c'] = out(c);
    await mirror.open().put('x', textOf('one'), once);
    mirror.stores['a'] = out(a);
    mirror.stores['c'] = c ?? createMemoryStore();
    await expect(mirror.open().put('x', textOf('two'), once)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    expect([await text(b, 'x'), await text(c, 'x')]).toEqual(['one', 'one']);
  });

  it('the loser reads the object of the winner, not its own that another store holds', async () => {
    const mirror = await testMirror();
    const { a, b, c } = mirror.plain;
    await c?.put('x', textOf('two'));
    for (const store of [a, b]) await store?.put('x', textOf('one'));
    const store = mirror.open();
    await expect(store.put('x', textOf('two'), once)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    for (let read = 0; read < 5; read += 1) expect(await text(store, 'x')).toBe('one');
  });

  it('what was refused and stayed on one store decides nothing', async () => {
    const mirror = await testMirror();
    const { a, b, c } = mirror.plain;
    const key = 'clusters/main/epochs/1.json';
    await a?.put(key, bytesOf(sealed('refused')));
    for (const store of [b, c]) await store?.put(key, bytesOf(sealed('acknowledged')));
    for (let read = 0; read < 3; read += 1) expect(await contentOf(mirror.open(), key)).toEqual(sealed('acknowledged'));
    mirror.stores['c'] = faulty(c ?? createMemoryStore(), failing('get'));
    expect(await contentOf(mirror.open({ rule: { quorum: 1, lead: 'b' } }), key)).toEqual(sealed('acknowledged'));
  });

  it('what a crash left on one store is finished, not contradicted, even while another store is out of reach', async () => {
    const mirror = await testMirror();
    await mirror.plain['b']?.put('x', textOf('before the crash'));
    mirror.stores['c'] = faulty(createMemoryStore(), failing('put'), failing('get'), failing('stat'));
    const store = mirror.open();
    await expect(store.put('x', textOf('encoded anew'), once)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    expect(await text(mirror.plain['a'], 'x')).toBe('before the crash');
    expect(await text(store, 'x')).toBe('before the crash');
  });

  it('a lease has one holder at a time', async () => {
    const mirror = await testMirror();
    for (const name of 'abc') mirror.stores[name] = jittery(mirror.plain[name] ?? createMemoryStore());
    const acquire = (pid: number) =>
      HeldLease.acquire(
        { store: mirror.open(), now: () => new Date() },
        'main/backup',
        { host: 'h', bootId: 'b', pid, processStart: '1', command: 'keyframe backup' },
        { ttlMs: 60_000 },
      );
    for (let round = 0; round < 3; round += 1) {
      const results = await Promise.allSettled([1, 2, 3].map(acquire));
      const held = results.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []));
      expect(held.length).toBeLessThanOrEqual(1);
      expect(held.every(({ lost }) => !lost.aborted)).toBe(true);
      await Promise.all(held.map((lease) => lease.release()));
      if (held.length === 0) break;
    }
  });
});

describe('twins', () => {
  it('are kept, told, and never repaired one from the other', async () => {
    const mirror = await testMirror();
    const { a, b, c } = mirror.plain;
    for (const store of [a, b]) await store?.put('x/1.json', bytesOf(sealed('one')));
    await c?.put('x/1.json', bytesOf(sealed('the other')));
    const store = mirror.open();
    const status = await store.status();
    expect(status.conflicts).toEqual([{ key: 'x/1.json', stores: ['a', 'b', 'c'] }]);
    expect(await store.sync()).toMatchObject({ copied: 0, repaired: 0, conflicts: ['x/1.json'] });
    expect([await contentOf(a ?? store, 'x/1.json'), await contentOf(c ?? store, 'x/1.json')]).toEqual([
      sealed('one'),
      sealed('the other'),
    ]);
    expect(mirror.events).toContainEqual(expect.objectContaining({ kind: 'conflict', key: 'x/1.json' }));
  });

  it('that nobody has a write set of are decided by no writer', async () => {
    const mirror = await testMirror();
    for (const name of 'abc') await mirror.plain[name]?.put('x', textOf(name));
    await expect(mirror.open().put('x', textOf('d'), once)).rejects.toMatchObject({ code: 'CONFLICT' });
    expect(await Promise.all(['a', 'b', 'c'].map((name) => text(mirror.plain[name], 'x')))).toEqual(['a', 'b', 'c']);
  });

  it('found while a store is brought up stay as they are', async () => {
    const mirror = await testMirror();
    const journal = memoryJournal();
    const { c } = mirror.plain;
    mirror.stores['c'] = faulty(c ?? createMemoryStore(), failing('put'), failing('stat'));
    const during = mirror.open({ journal });
    await during.put('x/1.json', bytesOf(sealed('one')), once);
    await during.close?.();
    await c?.put('x/1.json', bytesOf(sealed('two')));
    mirror.stores['c'] = c ?? createMemoryStore();
    expect(await mirror.open({ journal }).catchUp()).toMatchObject({ copied: 0, conflicts: ['x/1.json'], left: [] });
    expect(await contentOf(c ?? createMemoryStore(), 'x/1.json')).toEqual(sealed('two'));
  });

  it('that say the same of their content are none', async () => {
    const mirror = await testMirror();
    for (const name of ['a', 'b']) await mirror.plain[name]?.put('x/1.json', bytesOf(sealed('packed')));
    await mirror.plain['c']?.put('x/1.json', bytesOf(sealed('packed otherwise')));
    const store = mirror.open({ identify: async () => 'the same content' });
    expect(await store.sync()).toMatchObject({ conflicts: [], repaired: 0, copied: 0 });
    const { conflicts, stores } = await store.status();
    expect(conflicts).toEqual([]);
    expect(stores.map(({ health }) => health)).toEqual(['ok', 'ok', 'ok']);
  });
});
