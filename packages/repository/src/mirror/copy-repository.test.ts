import type { Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { contentOf, createMemoryStore, failing, faulty } from '@keyframe/testkit';
import { describe, expect, it } from 'vitest';
import { checkObject } from '../objects/check-object.ts';
import { Codecs } from '../objects/codecs.ts';
import { copyRepository, type CopyReport } from './copy-repository.ts';
import { sealed, testMirror } from './mirrored-store.fixture.ts';

const BACKUP = 'clusters/main/1/backups/x/backup.json';
const OBJECTS = [
  'clusters/main/1/backups/x/intent',
  BACKUP,
  'clusters/main/epochs/1.json',
  'clusters/other/epochs/1.json',
  'keys/1/a-1.json',
];
const codecs = new Codecs([]);
const copy = (from: Store, to: Store, cluster?: string): Promise<CopyReport> =>
  copyRepository({ from, to, check }, { cluster });
async function check(store: Store, key: string, how?: { readonly signal?: AbortSignal | undefined }): Promise<void> {
  await checkObject(store, codecs, key, how?.signal);
}
const keysOf = async (store: Store): Promise<string[]> =>
  (await Array.fromAsync(store.list(''), ({ key }) => key)).toSorted();

async function source(): Promise<Store> {
  const { plain } = await testMirror('a');
  const store = plain['a'] ?? createMemoryStore();
  // The last two are of this place alone.
  for (const key of [...OBJECTS, 'leases/main/backup/0000000001', 'clusters/main/damage/0000000001'])
    await store.put(key, bytesOf(sealed(key)));
  return store;
}

describe('copyRepository', () => {
  it('brings everything but leases, and again only what is new', async () => {
    const [from, to] = [await source(), createMemoryStore()];
    expect(await copy(from, to)).toMatchObject({ copied: 5, present: 0 });
    expect(await keysOf(to)).toEqual([...OBJECTS, 'keyframe.json'].toSorted());
    await from.put('clusters/main/1/backups/y/intent', bytesOf(sealed('y')));
    expect(await copy(from, to)).toMatchObject({ copied: 1, present: 5 });
  });

  it('brings one cluster, and what lies beside the clusters', async () => {
    const [from, to] = [await source(), createMemoryStore()];
    await copy(from, to, 'main');
    expect(await keysOf(to)).toEqual([...OBJECTS, 'keyframe.json'].filter((key) => !key.includes('other')).toSorted());
  });

  it('shows a backup last: interrupted, it does not count, and the same copy goes on', async () => {
    const from = await source();
    for (const key of OBJECTS.filter((each) => each !== BACKUP)) {
      const to = createMemoryStore();
      const broken = faulty(to, failing('put', { key: new RegExp(`^${key}$`, 'u') }));
      await expect(copy(from, broken)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
      expect(await to.stat(BACKUP)).toBeUndefined();
      expect(await copy(from, to)).toMatchObject({ repaired: 0 });
      expect(await contentOf(to, BACKUP)).toEqual(sealed(BACKUP));
    }
  });

  it('does not show a backup that was published while it ran, of which it may have missed objects', async () => {
    const from = await source();
    const late = ['intent', 'backup.json'].map((name) => `clusters/main/1/backups/a/${name}`);
    const to = createMemoryStore();
    const published: Store = {
      ...to,
      put: async (key, ...rest) => {
        // The listing of the source is past these by now.
        if (key.endsWith('/x/intent')) for (const each of late) await from.put(each, bytesOf(sealed(each)));
        return to.put(key, ...rest);
      },
    };
    expect(await copy(from, published)).toMatchObject({ repaired: 0 });
    expect(await to.stat(BACKUP)).toBeDefined();
    expect((await keysOf(to)).filter((key) => late.includes(key))).toEqual([]);
    await copy(from, to);
    expect((await keysOf(to)).filter((key) => late.includes(key))).toEqual(late.toSorted());
  });

  it('never copies damage, and reads around it where the source has several stores', async () => {
    const [from, to] = [await source(), createMemoryStore()];
    await from.put('clusters/main/1/backups/x/intent', bytesOf(sealed('x').subarray(1)));
    await expect(copy(from, to)).rejects.toMatchObject({ code: 'CORRUPT' });
    expect(await to.stat('clusters/main/1/backups/x/intent')).toBeUndefined();
    const mirror = await testMirror();
    for (const name of ['a', 'b', 'c'])
      await mirror.plain[name]?.put('x/1.json', bytesOf(name === 'a' ? sealed('x').subarray(1) : sealed('x')));
    const target = createMemoryStore();
    expect(await copy(mirror.open(), target)).toMatchObject({ copied: 1 });
    expect(await contentOf(target, 'x/1.json')).toEqual(sealed('x'));
  });

  it('mends a damaged copy, and leaves another object as it is', async () => {
    const [from, to] = [await source(), createMemoryStore()];
    await copy(from, to);
    await to.put('keys/1/a-1.json', bytesOf(sealed('k').subarray(3)));
    expect(await copy(from, to)).toMatchObject({ repaired: 1 });
    await to.put('clusters/main/epochs/1.json', bytesOf(sealed('another')));
    await expect(copy(from, to)).rejects.toMatchObject({
      code: 'CONFLICT',
      details: { keys: 'clusters/main/epochs/1.json' },
    });
    expect(await contentOf(to, 'clusters/main/epochs/1.json')).toEqual(sealed('another'));
  });

  it('tells another object of the same size apart, and leaves what depends on it unpublished', async () => {
    const [from, to] = [await source(), createMemoryStore()];
    const key = 'clusters/main/1/backups/x/intent';
    const other = sealed(key.replaceAll('x', 'y'));
    expect(other).toHaveLength(sealed(key).length);
    await to.put('keyframe.json', bytesOf((await contentOf(from, 'keyframe.json')) ?? other));
    await to.put(key, bytesOf(other));
    await expect(copy(from, to)).rejects.toMatchObject({ code: 'CONFLICT', details: { keys: key, count: 1 } });
    expect(await contentOf(to, key)).toEqual(other);
    expect(await to.stat(BACKUP)).toBeUndefined();
  });

  it('compares whole what does not prove itself', async () => {
    const [from, to] = [await source(), createMemoryStore()];
    await from.put('clusters/main/1/more/thing', bytesOf(Buffer.alloc(5000, 'a')));
    expect(await copy(from, to)).toMatchObject({ unproven: 1 });
    expect(await copy(from, to)).toMatchObject({ unproven: 0, copied: 0, present: 6 });
    await to.put('clusters/main/1/more/thing', bytesOf(Buffer.concat([Buffer.from('b'), Buffer.alloc(4999, 'a')])));
    await expect(copy(from, to)).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('refuses a target that is another repository, or not empty', async () => {
    const [from, to] = [await source(), createMemoryStore()];
    await to.put('clusters/main/epochs/1.json', bytesOf(sealed('stranger')));
    await expect(copy(from, to)).rejects.toMatchObject({ code: 'CONFLICT' });
    const { sealJson } = await import('../format/sealed-json.ts');
    const other = sealJson({ id: 'other', createdAt: '', parameters: { frameBytes: 1, walFrameBytes: 1 } });
    await to.put('keyframe.json', bytesOf(other));
    await expect(copy(from, to)).rejects.toMatchObject({ code: 'CONFLICT' });
  });

  it('writes to several stores at once', async () => {
    const from = await source();
    const mirror = await testMirror('abc');
    for (const name of ['a', 'b', 'c']) await mirror.plain[name]?.delete(['keyframe.json']);
    expect(await copy(from, mirror.open())).toMatchObject({ copied: 5 });
    expect(await keysOf(mirror.plain['c'] ?? from)).toEqual([...OBJECTS, 'keyframe.json'].toSorted());
  });
});
