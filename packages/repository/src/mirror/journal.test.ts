import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { KeyframeError } from '@keyframe/contracts';
import { bytesOf, textOf } from '@keyframe/contracts/streams';
import { createMemoryStore, failing, faulty } from '@keyframe/testkit';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type Journal, memoryJournal, openJournal } from './journal.ts';
import { sealed, testMirror } from './mirrored-store.fixture.ts';

let directory = '';
beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kf-journal-'));
});
afterAll(() => rm(directory, { recursive: true }));

describe('a journal', () => {
  it('survives its process, in order, whoever wrote it', async () => {
    const place = join(directory, 'one');
    const writers = [openJournal(place), openJournal(place)];
    for (const [index, journal] of writers.entries()) await journal.add('c', 'copy', [`k${index}`]);
    await writers[0]?.add('c', 'delete', ['d1', 'd2']);
    const later = openJournal(place);
    expect(await later.count('c')).toBe(3);
    const entries = await later.entries('c');
    expect(entries.map(({ task, keys }) => [task, ...keys])).toEqual([
      ['copy', 'k0'],
      ['copy', 'k1'],
      ['delete', 'd1', 'd2'],
    ]);
    for (const entry of entries) await later.done('c', entry);
    expect(await later.count('c')).toBe(0);
    expect(await later.entries('other')).toEqual([]);
  });

  it('passes over an entry that a crash cut off, which nobody relied on', async () => {
    const place = join(directory, 'two');
    const journal = openJournal(place);
    const { name } = await journal.add('c', 'copy', ['k']);
    await writeFile(join(place, 'c', name.replace(/-.*\./u, '-0.')), '["cut');
    expect((await journal.entries('c')).map(({ keys }) => keys)).toEqual([['k']]);
    expect(await readdir(join(place, 'c'))).toEqual([name]);
  });

  it('loses nothing to a reader that comes while an entry is written', async () => {
    const place = join(directory, 'three');
    const [writer, reader] = [openJournal(place), openJournal(place)];
    const keys = Array.from({ length: 1000 }, (_, index) => `${'k'.repeat(500)}${index}`);
    for (let index = 0; index < 50; index++) {
      const state = { writing: true };
      const reading = (async () => {
        while (state.writing) await reader.entries('c');
      })();
      const entry = await writer.add('c', 'copy', keys);
      state.writing = false;
      await reading;
      expect((await reader.entries('c')).map(({ name }) => name)).toEqual([entry.name]);
      await reader.done('c', entry);
    }
    expect(await readdir(join(place, 'c'))).toEqual([]);
  });

  it('that cannot be written is told, and the write counts all the same, since listing finds what is behind', async () => {
    const blocked = join(directory, 'blocked');
    await mkdir(blocked);
    await writeFile(join(blocked, 'c'), 'no directory');
    const mirror = await testMirror();
    mirror.stores['c'] = faulty(createMemoryStore(), failing('put'), failing('get'), failing('stat'));
    const store = mirror.open({ journal: { ...memoryJournal(), add: (...args) => openJournal(blocked).add(...args) } });
    await store.put('x', textOf('1'), { ifAbsent: true });
    expect(mirror.events).toContainEqual(expect.objectContaining({ kind: 'journal' }));
  });
});

describe('an acknowledgement', () => {
  it('is not given before the journal is durable', async () => {
    const mirror = await testMirror();
    mirror.stores['c'] = faulty(createMemoryStore(), failing('put'), failing('get'), failing('stat'));
    const written = Promise.withResolvers<void>();
    const inner = memoryJournal();
    const journal: Journal = { ...inner, add: async (...args) => (await written.promise, inner.add(...args)) };
    let acknowledged = false;
    const putting = mirror
      .open({ journal })
      .put('x', textOf('1'), { ifAbsent: true })
      .then(() => (acknowledged = true));
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(acknowledged).toBe(false);
    written.resolve();
    await putting;
    expect(await inner.count('c')).toBe(1);
  });

  it('of a removal holds against a catching up that finds nothing to do while it is being written down', async () => {
    const mirror = await testMirror();
    const { c = createMemoryStore() } = mirror.plain;
    const written = Promise.withResolvers<void>();
    const asked = Promise.withResolvers<void>();
    const inner = memoryJournal();
    const add: Journal['add'] = async (...args) => {
      asked.resolve();
      await written.promise;
      return inner.add(...args);
    };
    const store = mirror.open({ journal: { ...inner, add } });
    await store.put('x', textOf('1'), { ifAbsent: true });
    const denied = new KeyframeError('ACCESS_DENIED', 'not today');
    mirror.stores['c'] = { ...c, delete: () => Promise.reject(denied) };
    const removing = store.delete(['x']);
    await asked.promise;
    mirror.stores['c'] = c;
    const { left } = await store.catchUp();
    expect(await Array.fromAsync(store.list('x'))).toEqual([]);
    expect(left).toEqual(['c']);
    written.resolve();
    await removing;
    await store.catchUp();
    expect(await c.stat('x')).toBeUndefined();
  });

  it('of a removal keeps the order on a store that did not take it: what counts goes before what it counts on', async () => {
    const mirror = await testMirror();
    const { c = createMemoryStore() } = mirror.plain;
    const store = mirror.open({ journal: memoryJournal() });
    for (const key of ['x/backup.json', 'x/pack']) await store.put(key, textOf('1'), { ifAbsent: true });
    const denied = new KeyframeError('ACCESS_DENIED', 'not today');
    const remove: typeof c.delete = (keys) =>
      keys.includes('x/backup.json') ? Promise.reject(denied) : c.delete(keys);
    mirror.stores['c'] = { ...c, delete: remove };
    await store.delete(['x/backup.json']);
    await store.delete(['x/pack']);
    expect((await store.catchUp()).left).toEqual(['c']);
    expect(await c.stat('x/pack')).toBeDefined();
    mirror.stores['c'] = c;
    expect((await store.catchUp()).left).toEqual([]);
    expect(await Array.fromAsync(c.list('x/'))).toEqual([]);
  });

  it('that was followed by the loss of the journal costs nothing: a sync finds what is behind by listing', async () => {
    const mirror = await testMirror();
    const { c = createMemoryStore() } = mirror.plain;
    mirror.stores['c'] = faulty(c, failing('put'));
    await mirror.open({ journal: memoryJournal() }).put('x/1.json', bytesOf(sealed('1')), { ifAbsent: true });
    mirror.stores['c'] = c;
    expect(await mirror.open({ journal: memoryJournal() }).sync()).toMatchObject({ copied: 1, faults: [] });
    expect(await c.stat('x/1.json')).toBeDefined();
  });
});
