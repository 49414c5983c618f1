import { hasCode } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { contentOf, createMemoryStore, cutShort, failing, faulty, flippedBit } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import {
  backUp,
  compressible,
  digestOf,
  FACTS,
  keysOf,
  open,
  openArchive,
  restoreTree,
  SMALL,
  type Tree,
} from '../../test/support.ts';

/** Everything a backup can have, in few bytes. */
const TREE: Tree = new Map<string, Uint8Array | string>([
  ['base/', ''],
  ['base/1', compressible(700)],
  ['base/2', Buffer.alloc(300, 'x')],
  ['base/big', Buffer.concat([Buffer.alloc(2000, 'abc'), compressible(900)])],
  ['pg_tblspc/1', '/srv/x'],
]);

/** Any bit of these may be flipped: nobody may be given wrong bytes, and the object is named. */
async function makeRepository() {
  const store = createMemoryStore();
  const tuning = { ...SMALL, bundleLimitBytes: 1000 };
  const archive = await openArchive(store, { tuning });
  const record = await backUp(archive, TREE);
  return { store, tuning, record, prefix: `clusters/main/1/backups/${record.label}/` };
}

async function codeOf(work: Promise<unknown>): Promise<{ code: string; message: string }> {
  try {
    await work;
    return { code: 'none', message: '' };
  } catch (error) {
    if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT')) throw error;
    return error;
  }
}

test('a flipped bit anywhere in an object is found when it is checked', async () => {
  const { store } = await makeRepository();
  for (const key of await keysOf(store)) {
    const bytes = (await contentOf(store, key)) ?? Buffer.alloc(0);
    expect(bytes.length).toBeGreaterThan(100);
    for (let at = 0; at < bytes.length; at += 1) {
      const damaged = createMemoryStore();
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      await damaged.put(key, bytesOf(Buffer.from(bytes)));
      bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8));
      const { code, message } = await codeOf(open(damaged).check(key));
      expect({ key, at, code }).toEqual({ key, at, code: expect.stringMatching(/CORRUPT|REPOSITORY_FORMAT/u) });
      expect(message).toContain(key);
    }
  }
});

test('an object that was cut anywhere is found when it is checked', async () => {
  const { store } = await makeRepository();
  for (const key of await keysOf(store)) {
    const bytes = (await contentOf(store, key)) ?? Buffer.alloc(0);
    for (let size = 0; size < bytes.length; size += 13) {
      const cut = createMemoryStore();
      await cut.put(key, bytesOf(bytes.subarray(0, size)));
      expect({ key, size, ...(await codeOf(open(cut).check(key))) }).toMatchObject({ key, size, code: 'CORRUPT' });
    }
  }
});

test('bytes behind the end of an object are found when it is checked', async () => {
  const { store } = await makeRepository();
  for (const key of await keysOf(store)) {
    const bytes = (await contentOf(store, key)) ?? Buffer.alloc(0);
    const longer = createMemoryStore();
    await longer.put(key, bytesOf(bytes, Buffer.from('\n')));
    expect(await codeOf(open(longer).check(key))).toMatchObject({ code: 'CORRUPT' });
  }
});

test('a restore from a repository with a flipped bit gives the right bytes or CORRUPT', async () => {
  const { store, tuning } = await makeRepository();
  const outcomes = { right: 0, refused: 0 };
  for (const key of await keysOf(store)) {
    const bytes = (await contentOf(store, key)) ?? Buffer.alloc(0);
    for (let at = 0; at < bytes.length; at += 31) {
      const damaged = faulty(store, flippedBit(at, { key: new RegExp(`${key}$`, 'u'), bit: at % 8 }));
      const restoring = (async () => {
        const archive = await open(damaged, { tuning }).cluster('main').at(1);
        const [record] = await archive.backups.list();
        if (record === undefined) throw new Error('not listed');
        expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(TREE));
      })();
      outcomes[(await codeOf(restoring)).code === 'none' ? 'right' : 'refused'] += 1;
    }
  }
  expect(outcomes.right).toBeGreaterThan(0);
  expect(outcomes.refused).toBeGreaterThan(0);
});

test('a restore from a pack that was cut is refused and names the pack', async () => {
  const { store, prefix, tuning, record } = await makeRepository();
  const key = `${prefix}pack-00001`;
  const size = (await contentOf(store, key))?.length ?? 0;
  const cut = faulty(store, cutShort(Math.floor(size / 10), { key: /pack-00001$/u }));
  const archive = await open(cut, { tuning }).cluster('main').at(1);
  await expect(restoreTree(archive, record)).rejects.toMatchObject({ code: 'CORRUPT', details: { key } });
});

test('a restore without one of its packs is refused and names the pack', async () => {
  const { store, prefix, record } = await makeRepository();
  await store.delete([`${prefix}pack-00001`]);
  const archive = await open(store).cluster('main').at(1);
  const restoring = restoreTree(archive, record);
  await expect(restoring).rejects.toMatchObject({ code: 'CORRUPT', details: { key: `${prefix}pack-00001` } });
});

test('the copy of the manifest serves when the manifest is gone, and that is reported', async () => {
  const { store, record } = await makeRepository();
  await store.delete([record.manifest.key]);
  const archive = await open(store).cluster('main').at(1);
  const { tree, report } = await restoreTree(archive, record);
  expect(digestOf(tree)).toEqual(digestOf(TREE));
  expect(report.damage[0]).toMatchObject({ code: 'CORRUPT', details: { key: record.manifest.key } });
});

test('the copy of the manifest serves whatever byte of the manifest is damaged', async () => {
  const { store, record } = await makeRepository();
  for (let at = 0; at < record.manifest.sizeBytes; at += 97) {
    const damaged = faulty(store, flippedBit(at, { key: /manifest$/u }));
    const archive = await open(damaged).cluster('main').at(1);
    const manifest = await archive.backups.manifest(record);
    expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(TREE));
    expect(await manifest.serverManifest()).toEqual(Buffer.from(FACTS.serverManifest));
  }
});

test('a manifest without a whole copy is CORRUPT', async () => {
  const { store, record } = await makeRepository();
  await store.delete([record.manifest.key, record.manifest.copy.key]);
  const archive = await open(store).cluster('main').at(1);
  await expect(archive.backups.manifest(record)).rejects.toMatchObject({ code: 'CORRUPT' });
});

test('a store that cannot be reached is not taken for damage', async () => {
  const { store, record } = await makeRepository();
  const archive = await open(faulty(store, failing('get', { key: /manifest$/u })))
    .cluster('main')
    .at(1);
  await expect(archive.backups.manifest(record)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
});

test('a record that was damaged is CORRUPT, and the listing says so', async () => {
  const { store } = await makeRepository();
  const archive = await open(faulty(store, flippedBit(40, { key: /backup\.json$/u })))
    .cluster('main')
    .at(1);
  await expect(archive.backups.list()).rejects.toMatchObject({ code: 'CORRUPT' });
  const damage: string[] = [];
  expect(await archive.backups.list({ onDamage: (fault) => damage.push(fault.message) })).toEqual([]);
  expect(damage).toEqual([expect.stringContaining('backup.json')]);
});

test('the record of another backup under this label is CORRUPT', async () => {
  const { store, record } = await makeRepository();
  const home = `clusters/main/1/backups/${record.label}/backup.json`;
  const away = 'clusters/main/1/backups/20200101T000000Z-full/backup.json';
  await store.put(away, bytesOf((await contentOf(store, home)) ?? Buffer.of()));
  const { backups } = await open(store).cluster('main').at(1);
  await expect(backups.get('20200101T000000Z-full')).rejects.toMatchObject({ code: 'CORRUPT', details: { key: away } });
});

test('a frame of a codec that is not installed says which one', async () => {
  const { store, record } = await makeRepository();
  const other = { id: 'other', compress: async () => Buffer.alloc(0), decompress: async () => Buffer.alloc(0) };
  const archive = await open(store, { compressor: other }).cluster('main').at(1);
  await expect(restoreTree(archive, record)).rejects.toMatchObject({
    code: 'REPOSITORY_FORMAT',
    details: { codec: 'deflate' },
  });
});
