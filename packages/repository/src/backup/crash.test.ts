import { hasCode, KeyframeError, type Store } from '@keyframe/contracts';
import { createMemoryStore, failing, faulty, losingAcknowledgement } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import {
  backUp,
  compressible,
  digestOf,
  FACTS,
  INTENT,
  keysOf,
  open,
  openArchive,
  restoreTree,
  SMALL,
  type Tree,
  writeTree,
} from '../../test/support.ts';

const TREE: Tree = new Map([
  ['PG_VERSION', Buffer.from('18\n')],
  ['base/1', compressible(1_200_000)],
  ['base/2', compressible(90_000)],
  ['base/3', compressible(1_300_000)],
]);
const PREFIX = 'clusters/main/1/backups/20261120T030000Z-full/';

/** As the engine does: only a transient fault is worth the same call again. */
function retrying(store: Store): Store {
  return {
    ...store,
    put: async (...args) => {
      try {
        return await store.put(...args);
      } catch (error) {
        if (!hasCode(error, 'UNAVAILABLE')) throw error;
        return store.put(...args);
      }
    },
  };
}

async function writes(): Promise<string[]> {
  const store = createMemoryStore();
  const keys: string[] = [];
  const watched: Store = { ...store, put: (key, ...rest) => (keys.push(key), store.put(key, ...rest)) };
  await backUp(await openArchive(watched, { tuning: SMALL }), TREE);
  return keys;
}

test('the intent comes first, then packs, the manifest and, last, the record', async () => {
  const names = (await writes()).filter((key) => key.startsWith(PREFIX)).map((key) => key.slice(PREFIX.length));
  expect(names[0]).toBe('intent');
  expect(names.slice(1, -2).every((name) => name.startsWith('pack-'))).toBe(true);
  expect(names.slice(-2)).toEqual(['manifest', 'backup.json']);
});

test('whichever write is the last before a crash, nothing half is listed and the next backup works', async () => {
  const count = (await writes()).length;
  for (let nth = 3; nth <= count; nth += 1) {
    const store = createMemoryStore();
    const dying = faulty(store, failing('put', { nth }));
    await expect(backUp(await openArchive(dying, { tuning: SMALL }), TREE)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    const archive = await open(store, { tuning: SMALL }).cluster('main').at(1);
    expect(await archive.backups.list()).toEqual([]);
    const unfinished = await archive.backups.unfinished();
    expect(unfinished.map(({ label }) => label)).toEqual(nth === 3 ? [] : ['20261120T030000Z-full']);
    const record = await backUp(archive, TREE);
    expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(TREE));
    expect(await archive.backups.list()).toEqual([record]);
    for (const { label } of unfinished) await archive.backups.discard(label);
    expect(await archive.backups.unfinished()).toEqual([]);
  }
});

test('a write whose acknowledgement was lost is no fault', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(retrying(faulty(store, losingAcknowledgement())), { tuning: SMALL });
  const record = await backUp(archive, TREE);
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(TREE));
  expect(await archive.backups.unfinished()).toEqual([]);
});

test('a store without conditional writes serves as well', async () => {
  const store = createMemoryStore({ capabilities: { conditionalPut: false } });
  const strict: Store = {
    ...store,
    put: async (key, source, options) => {
      if (options?.ifAbsent === true) throw new KeyframeError('UNSUPPORTED', 'no conditional put');
      return store.put(key, source, options);
    },
  };
  const once = (key: RegExp) => losingAcknowledgement({ key, times: 1 });
  const lossy = faulty(strict, once(/intent/u), once(/pack-00002/u), once(/manifest/u), once(/backup\.json/u));
  const archive = await openArchive(retrying(lossy), { tuning: SMALL });
  const record = await backUp(archive, TREE);
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(TREE));
});

test('another object under the name of a pack is never replaced', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, { tuning: SMALL });
  const writer = await archive.backups.begin(INTENT);
  await store.put(`${PREFIX}pack-00001`, {
    sizeBytes: 1,
    open: async function* () {
      yield Buffer.from('x');
    },
  });
  await writeTree(writer, new Map([['base/2', compressible(90_000)]]));
  await expect(writer.finish(FACTS)).rejects.toMatchObject({ code: 'CONFLICT' });
});

test('two backups begun in one second get labels of their own', async () => {
  const archive = await openArchive(createMemoryStore());
  const one = await archive.backups.begin(INTENT);
  const two = await archive.backups.begin(INTENT);
  expect([one.label, two.label]).toEqual(['20261120T030000Z-full', '20261120T030001Z-full']);
});

test('giving a backup up removes what it stored', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, { tuning: SMALL });
  const writer = await archive.backups.begin(INTENT);
  await writeTree(writer, TREE);
  await writer.abandon(new Error('the server went away'));
  expect(await keysOf(store, 'clusters/main/1/')).toEqual([]);
  expect(() => writer.file({ path: 'x', mode: 0, modifiedAtSeconds: 0, sizeBytes: 0 })).toThrow('the server went away');
});

test('nothing is removed once publishing was tried: the record may be there', async () => {
  const store = createMemoryStore();
  const lossy = faulty(store, losingAcknowledgement({ key: /backup\.json$/u }));
  const archive = await openArchive(lossy, { tuning: SMALL });
  const writer = await archive.backups.begin(INTENT);
  await writeTree(writer, TREE);
  const prepared = await writer.finish(FACTS);
  await expect(writer.publish(prepared)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  await writer.abandon(new Error('gave up'));
  const [record] = await archive.backups.list();
  if (record === undefined) throw new Error('not listed');
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(TREE));
});

test('giving up does not fail on a store that refuses to delete', async () => {
  const error = new KeyframeError('ACCESS_DENIED', 'locked');
  const archive = await openArchive(faulty(createMemoryStore(), failing('delete', { error })));
  const writer = await archive.backups.begin(INTENT);
  await writer.abandon(new Error('gave up'));
  expect(await archive.backups.unfinished()).toHaveLength(1);
});

test('a published backup is not discarded', async () => {
  const archive = await openArchive(createMemoryStore());
  const record = await backUp(archive, TREE);
  await expect(archive.backups.discard(record.label)).rejects.toMatchObject({ code: 'CONFLICT' });
});

test('a label that does not exist is BACKUP_NOT_FOUND', async () => {
  const archive = await openArchive(createMemoryStore());
  await expect(archive.backups.get('20200101T000000Z-full')).rejects.toMatchObject({ code: 'BACKUP_NOT_FOUND' });
});
