import { hasCode, type KeyframeError, type Store } from '@keyframe/contracts';
import { bytesOf, textOf } from '@keyframe/contracts/streams';
import { contentOf, createMemoryStore, failing, faulty, losingAcknowledgement, slow } from '@keyframe/testkit';
import { describe, expect, it } from 'vitest';
import { memoryJournal } from './journal.ts';
import { sealed, testMirror } from './mirrored-store.fixture.ts';

const once = { ifAbsent: true };
const text = async (store: Store, key: string): Promise<string | undefined> =>
  (await contentOf(store, key))?.toString();
const OPERATIONS = ['put', 'get', 'stat', 'list', 'delete'] as const;
/** A store that does not answer at all. */
const down = (store: Store): Store => faulty(store, ...OPERATIONS.map((operation) => failing(operation)));
/** A store whose calls never end, unless they are aborted. */
const hanging = (store: Store): Store => faulty(store, ...OPERATIONS.map((operation) => slow(operation, 60_000)));

describe('with a store that is out of reach', () => {
  it('writes and reads go on, and it is brought up when it comes back', async () => {
    const mirror = await testMirror();
    const { c } = mirror.plain;
    mirror.stores['c'] = down(mirror.plain['c'] ?? createMemoryStore());
    const journal = memoryJournal();
    const during = mirror.open({ journal });
    for (let hour = 0; hour < 20; hour += 1) await during.put(`x/${hour}.json`, bytesOf(sealed(String(hour))), once);
    expect(await Array.fromAsync(during.list('x/'))).toHaveLength(20);
    expect(await during.stat('x/none')).toBeUndefined();
    await during.close?.();
    expect(await journal.count('c')).toBe(20);
    expect((await during.status()).stores.map(({ health }) => health)).toEqual(['ok', 'ok', 'unreachable']);

    mirror.stores['c'] = c ?? createMemoryStore();
    const after = mirror.open({ journal });
    expect((await after.status()).stores[2]).toMatchObject({ health: 'behind', missingObjects: 20, journalled: 20 });
    expect(await after.catchUp()).toMatchObject({ copied: 20, left: [] });
    expect(await journal.count('c')).toBe(0);
    expect((await after.status()).stores.map(({ health }) => health)).toEqual(['ok', 'ok', 'ok']);
  });

  it('the next write of a later process brings it up in the background', async () => {
    const mirror = await testMirror();
    const { c = createMemoryStore() } = mirror.plain;
    const journal = memoryJournal();
    mirror.stores['c'] = down(c);
    const during = mirror.open({ journal });
    await during.put('x/1.json', bytesOf(sealed('1')), once);
    await during.close?.();
    mirror.stores['c'] = c;
    const after = mirror.open({ journal });
    await after.put('x/2.json', bytesOf(sealed('2')), once);
    await after.close?.();
    expect(await contentOf(c, 'x/1.json')).toEqual(sealed('1'));
    expect(await contentOf(c, 'x/2.json')).toEqual(sealed('2'));
  });

  it('too few others refuse the write and tell why', async () => {
    const mirror = await testMirror();
    for (const name of 'bc') mirror.stores[name] = down(mirror.plain[name] ?? createMemoryStore());
    const fault = await mirror
      .open()
      .put('x', textOf('1'), once)
      .catch((error: unknown) => error);
    expect(hasCode(fault, 'UNAVAILABLE')).toBe(true);
    expect((fault as KeyframeError).hint).toContain('keyframe repository status');
  });

  it('nothing is called absent that an acknowledged object could be', async () => {
    const mirror = await testMirror();
    for (const name of 'bc') mirror.stores[name] = down(mirror.plain[name] ?? createMemoryStore());
    const store = mirror.open();
    await expect(store.stat('x')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(store.get('x')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(Array.fromAsync(store.list(''))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('a strict reader calls nothing absent and no list whole', async () => {
    const mirror = await testMirror();
    mirror.stores['c'] = down(mirror.plain['c'] ?? createMemoryStore());
    await mirror.open().put('x', textOf('1'), once);
    const strict = mirror.open({ strict: true });
    await expect(strict.stat('none')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(Array.fromAsync(strict.list(''))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(await text(strict, 'x')).toBe('1');
    const without = mirror.open({ strict: true, without: ['c'] });
    expect(await without.stat('none')).toBeUndefined();
    expect(await Array.fromAsync(without.list('x'), ({ key }) => key)).toEqual(['x']);
  });

  it('the status still tells what each store says, however few answer', async () => {
    const mirror = await testMirror();
    for (const name of 'bc') mirror.stores[name] = down(mirror.plain[name] ?? createMemoryStore());
    const { stores, writable } = await mirror.open().status();
    expect(stores.map(({ health }) => health)).toEqual(['ok', 'unreachable', 'unreachable']);
    expect(writable).toBe(false);
  });

  it('a lead alone suffices to write, and without the lead nothing is written', async () => {
    const mirror = await testMirror();
    const rule = { quorum: 1, lead: 'b' };
    for (const name of 'ac') mirror.stores[name] = down(mirror.plain[name] ?? createMemoryStore());
    await mirror.open({ rule }).put('x', textOf('1'), once);
    expect(await text(mirror.plain['b'] ?? createMemoryStore(), 'x')).toBe('1');
    mirror.stores['a'] = mirror.plain['a'] ?? createMemoryStore();
    mirror.stores['b'] = down(mirror.plain['b'] ?? createMemoryStore());
    await expect(mirror.open({ rule }).put('y', textOf('1'), once)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('what was removed meanwhile is removed there, too, and is not told until then', async () => {
    const mirror = await testMirror();
    const { c = createMemoryStore() } = mirror.plain;
    const journal = memoryJournal();
    await mirror.open({ journal }).put('x', textOf('1'), once);
    mirror.stores['c'] = faulty(c, failing('delete'));
    const store = mirror.open({ journal });
    await store.delete(['x']);
    expect(await text(c, 'x')).toBe('1');
    expect(await store.stat('x')).toBeUndefined();
    expect(await Array.fromAsync(store.list('x'))).toEqual([]);
    await store.close?.();
    mirror.stores['c'] = c;
    expect(await mirror.open({ journal }).sync()).toMatchObject({ removed: 1, copied: 0 });
    expect(await text(c, 'x')).toBeUndefined();
  });
});

describe('closing', () => {
  it('does not wait for a store that is out of reach', async () => {
    const mirror = await testMirror();
    mirror.stores['c'] = down(mirror.plain['c'] ?? createMemoryStore());
    const journal = memoryJournal();
    for (let push = 0; push < 2; push += 1) {
      const store = mirror.open({ journal, drainMs: 10_000 });
      await store.put(`x/${push}.json`, bytesOf(sealed(String(push))), once);
      const started = performance.now();
      await store.close?.();
      expect(performance.now() - started).toBeLessThan(1_000);
    }
    expect(await journal.count('c')).toBe(2);
  });
});

describe('what is behind at the end', () => {
  it('is told of a store that was not brought up, and not of one that was', async () => {
    const mirror = await testMirror();
    const { c = createMemoryStore() } = mirror.plain;
    mirror.stores['c'] = hanging(c);
    const store = mirror.open({ drainMs: 20 });
    await store.put('x/1.json', bytesOf(sealed('first')), once);
    await store.close?.();
    expect(mirror.events.at(-1)).toEqual({ kind: 'left-behind', store: 'c' });
    mirror.stores['c'] = c;
    const next = mirror.open({ drainMs: 5_000 });
    await next.catchUp();
    await next.close?.();
    expect(mirror.events.filter(({ kind }) => kind === 'left-behind')).toHaveLength(1);
  });
});

describe('a slow store', () => {
  it('holds no acknowledged write up, gives nothing of the source away later, and is fed from the others', async () => {
    const mirror = await testMirror();
    const { c = createMemoryStore() } = mirror.plain;
    mirror.stores['c'] = hanging(c);
    const journal = memoryJournal();
    const store = mirror.open({ journal });
    const arena = sealed('first');
    const started = performance.now();
    await store.put('x/1.json', bytesOf(arena), once);
    expect(performance.now() - started).toBeLessThan(1_500);
    arena.fill(0);
    expect(await journal.count('c')).toBe(1);
    mirror.stores['c'] = c;
    await mirror.open({ journal }).catchUp();
    expect(await contentOf(c, 'x/1.json')).toEqual(sealed('first'));
    expect(mirror.events).toContainEqual({ kind: 'behind', store: 'c', fault: undefined });
    expect(mirror.events.some(({ kind }) => kind === 'left-behind')).toBe(false);
  });

  it('does not keep a reader waiting', async () => {
    const mirror = await testMirror();
    await mirror.open().put('x', textOf('1'), once);
    const { a = createMemoryStore() } = mirror.plain;
    mirror.stores['a'] = faulty(a, slow('get', 60_000, { key: /^x/ }));
    const started = performance.now();
    expect((await Array.fromAsync(await mirror.open().get('x'))).length).toBe(1);
    expect(performance.now() - started).toBeLessThan(3_000);
  });
});

describe('a store without keyframe.json', () => {
  it('is not used, as it may be a file system that is not mounted', async () => {
    const mirror = await testMirror();
    const empty = createMemoryStore();
    mirror.stores['c'] = empty;
    const store = mirror.open();
    await store.put('x', textOf('1'), once);
    expect(await Array.fromAsync(empty.list(''))).toEqual([]);
    expect((await store.status()).stores[2]).toMatchObject({
      health: 'empty',
      fault: { code: 'REPOSITORY_MISSING', hint: expect.stringContaining('--add-store c') },
    });
    expect(await store.sync()).toMatchObject({ outside: [{ store: 'c', health: 'empty' }] });
    await store.addStore('c');
    expect(await store.sync()).toMatchObject({ copied: 1, outside: [] });
    expect(await text(empty, 'x')).toBe('1');
  });

  it('cannot say that an object is absent, even if it went away in the middle', async () => {
    const mirror = await testMirror();
    const store = mirror.open({ strict: true });
    expect(await store.stat('x')).toBeUndefined();
    mirror.stores['c'] = createMemoryStore();
    await expect(store.stat('x')).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });

  it('of another repository is refused', async () => {
    const mirror = await testMirror();
    const other = await testMirror('z');
    const { z = createMemoryStore() } = other.plain;
    await z.put(
      'keyframe.json',
      bytesOf(Buffer.from((await contentOf(mirror.plain['a'] ?? z, 'keyframe.json')) ?? Buffer.of())),
    );
    mirror.stores['c'] = createMemoryStore();
    const { sealJson } = await import('../format/sealed-json.ts');
    const parameters = { frameBytes: 1, walFrameBytes: 1 };
    await mirror.stores['c'].put('keyframe.json', bytesOf(sealJson({ id: 'other', createdAt: '', parameters })));
    const store = mirror.open();
    await store.put('x', textOf('1'), once);
    expect(await text(mirror.stores['c'], 'x')).toBeUndefined();
    expect((await store.status()).stores[2]).toMatchObject({ health: 'foreign', fault: { code: 'CONFLICT' } });
  });
});

describe('a lost acknowledgement', () => {
  it('is settled by comparing content, once the object is durable', async () => {
    const mirror = await testMirror();
    for (const name of 'ab')
      mirror.stores[name] = faulty(mirror.plain[name] ?? createMemoryStore(), losingAcknowledgement({ times: 1 }));
    mirror.stores['c'] = down(mirror.plain['c'] ?? createMemoryStore());
    await expect(mirror.open().put('x', textOf('1'), once)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(mirror.open().put('x', textOf('1'), once)).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
  });
});
