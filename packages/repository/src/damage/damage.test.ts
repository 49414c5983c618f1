import { bytesOf } from '@keyframe/contracts/streams';
import { contentOf, createMemoryStore } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import { increment } from '../../test/increment.ts';
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
  writeTree,
} from '../../test/support.ts';
import { encrypted } from '../encryption/encrypted.fixture.ts';
import { age, OFFICE, SAFE } from '../encryption/keys.fixture.ts';
import type { DamagedPack } from './damaged-pack.ts';

const PAGE = 8192;
const tree = () =>
  new Map([
    ['big', compressible(200 * PAGE)],
    ['small', compressible(9 * PAGE)],
  ]);

const damaged = (label: string, number = 1): DamagedPack => ({
  epoch: 1,
  label,
  number,
  fault: 'damaged',
  level: 'content',
  what: 'frame 3 fails its hash',
  foundAt: '2026-11-24T10:00:00.000Z',
  backups: [label],
});

async function world() {
  const store = createMemoryStore();
  const archive = await openArchive(store, { tuning: SMALL });
  const damage = await open(store).cluster('main').damage();
  const content = tree();
  const base = await backUp(archive, content);
  const packs = (await keysOf(store)).filter((key) => /\/pack-\d+$/u.test(key));
  return { store, archive, damage, content, base, packs };
}

test('what is known is there for every host, and the same again writes nothing', async () => {
  const { store, damage, base } = await world();
  const entry = damaged(base.label);
  expect((await damage.read()).size).toBe(0);
  await damage.change(() => [entry]);
  expect([...(await damage.read()).values()]).toEqual([entry]);
  const before = await keysOf(store);
  await damage.change((known) => [...known.values()]);
  expect(await keysOf(store)).toEqual(before);
  await damage.change(() => []);
  expect((await damage.read()).size).toBe(0);
});

test('of many changes the last ones stay, and a damaged one forgets', async () => {
  const { store, damage, base } = await world();
  for (let number = 1; number <= 8; number += 1) await damage.change(() => [damaged(base.label, number)]);
  const keys = (await keysOf(store)).filter((key) => key.includes('/damage/'));
  expect(keys.map((key) => Number(key.slice(-10)))).toEqual([5, 6, 7, 8]);
  await store.put(keys.at(-1) ?? '', bytesOf(Buffer.from('x')));
  expect((await damage.read()).size).toBe(0);
  await damage.change(() => [damaged(base.label)]);
  expect((await damage.read()).size).toBe(1);
});

test.each([{ views: true }, { views: false }])(
  'an increment names nothing in a pack that is known to be damaged, and is whole without it: %o',
  async ({ views }) => {
    const { store, archive, damage, content, base, packs } = await world();
    await damage.change(() => packs.map((_, index) => damaged(base.label, index + 1)));
    const record = await increment(archive, base, content, { views });
    expect(record.reusedBytes).toBe(0);
    expect(record.renewedBytes).toBe(209 * PAGE);
    await store.delete(packs);
    expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(content));
    // What builds on the healed one has nothing to heal.
    const next = await increment(archive, record, content, { views });
    expect(next.renewedBytes).toBeUndefined();
    expect(next.reusedBytes).toBe(209 * PAGE);
  },
);

test.each(['gone', 'cut short'])('a full backup stores anew what lies in a pack that is %s', async (how) => {
  const { store, archive, content, base, packs } = await world();
  const [pack = ''] = packs;
  const bytes = (await contentOf(store, pack)) ?? Buffer.alloc(0);
  await store.delete([pack]);
  if (how === 'cut short') await store.put(pack, bytesOf(bytes.subarray(0, bytes.length >> 1)));
  const files = await archive.backups.base(base);
  expect([...files.suspects.keys()]).toEqual([pack]);
  const writer = await archive.backups.begin({ ...INTENT, parent: base.label }, { base: files });
  await writeTree(writer, content);
  const record = await writer.publish(await writer.finish(FACTS));
  expect(record.renewedBytes).toBeGreaterThan(0);
  expect(record.reusedBytes).toBeGreaterThan(0);
  await store.delete([pack]);
  expect(digestOf((await restoreTree(archive, record)).tree)).toEqual(digestOf(content));
});

test('damage that is found while a backup runs keeps it from counting', async () => {
  const { archive, damage, content, base } = await world();
  const files = await archive.backups.base(base);
  const writer = await archive.backups.begin({ ...INTENT, parent: base.label }, { base: files });
  await writeTree(writer, content);
  const prepared = await writer.finish(FACTS);
  await damage.change(() => [damaged(base.label)]);
  await expect(writer.publish(prepared)).rejects.toMatchObject({ code: 'CONFLICT' });
});

test('a host that cannot read names no damaged frame without its bytes: it refuses, and takes bytes that are at hand', async () => {
  const store = createMemoryStore();
  const reader = age([OFFICE.recipient, SAFE.recipient], SAFE.identity);
  const content = tree();
  const base = await backUp(await openArchive(store, encrypted(reader)), content);
  const indexKey = await open(store, encrypted(reader)).keys.exportIndex();
  const encryption = { encryptors: [age([OFFICE.recipient, SAFE.recipient])], indexKey };
  const writing = open(store, { tuning: SMALL, encryption }).cluster('main');
  const archive = await writing.at(1);
  const packs = (await keysOf(store)).filter((key) => /\/pack-\d+$/u.test(key));
  await (await writing.damage()).change(() => packs.map((_, index) => damaged(base.label, index + 1)));
  const take = async (hasViews: boolean) => {
    const files = await archive.backups.base(base);
    const writer = await archive.backups.begin({ ...INTENT, parent: base.label }, { base: files });
    for (const [path, bytes] of content) {
      const entry = { path, mode: 0o600, modifiedAtSeconds: 1, sizeBytes: bytes.length };
      const sink = writer.file(entry, await files.find(path));
      await sink.keep(bytes.length, hasViews ? bytes : undefined);
      await sink.end();
    }
    return writer.publish(await writer.finish(FACTS));
  };
  await expect(take(false)).rejects.toMatchObject({ code: 'CORRUPT' });
  expect((await take(true)).renewedBytes).toBe(209 * PAGE);
});
