import type { Store } from '@keyframe/contracts';
import { createMemoryStore, failing, faulty, flippedBit } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import {
  backUp,
  compressible,
  digestOf,
  keysOf,
  openArchive,
  restoreTree,
  SMALL,
  type Tree,
} from '../../test/support.ts';
import { newSigningKey } from '../signing/keys.ts';

/** Two places of each object, of which the nearer gives other bytes for some; writes go to what is behind both. */
function withBadCopy(store: Store, key: RegExp, at = 40): { readonly both: Store; readonly distrusted: Set<string> } {
  const distrusted = new Set<string>();
  const bad = faulty(store, flippedBit(at, { key }));
  const copies = { of: () => [bad, store], distrust: (each: string) => void distrusted.add(each) };
  return { both: { ...store, get: bad.get.bind(bad), copies }, distrusted };
}

const TREE: Tree = new Map([
  ['PG_VERSION', Buffer.from('18\n')],
  ...Array.from({ length: 30 }, (_, index): [string, Buffer] => [`base/1/${index}`, compressible(20_000)]),
]);

test('entries of a signed chain are read from the copy that is whole', async () => {
  const store = createMemoryStore();
  const { pem } = newSigningKey();
  const more = { tuning: SMALL, signing: { key: () => pem, trusted: [] } };
  const archive = await openArchive(store, more);
  await backUp(archive, TREE);
  await archive.chain.checkpoint();
  const { both, distrusted } = withBadCopy(store, /\/chain\//u);
  const { chain } = await openArchive(both, more);
  expect((await chain.audit()).faults).toEqual([]);
  expect(await chain.head()).toEqual(await archive.chain.head());
  await chain.checkpoint();
  expect([...distrusted]).toContain('clusters/main/1/chain/0000000001');
});

test('what an interrupted backup stored is found in the copy that is whole', async () => {
  const store = createMemoryStore();
  const tuning = { ...SMALL, resumableBytes: 100_000 };
  const dying = faulty(store, failing('put', { key: /backup\.json$/u }));
  await expect(backUp(await openArchive(dying, { tuning }), TREE)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  const { both, distrusted } = withBadCopy(store, /\/pack-/u);
  const record = await backUp(await openArchive(both, { tuning }), TREE);
  expect(record.reusedBytes).toBe(record.sizeBytes);
  expect(distrusted.size).toBeGreaterThan(0);
});

test('a manifest that was kept in packs meanwhile is gathered from the copies that are whole', async () => {
  const store = createMemoryStore();
  // In a frame.
  const { both, distrusted } = withBadCopy(store, /\/pack-/u, 300);
  const tuning = { ...SMALL, manifestChunkBytes: 200, manifestBufferBytes: 300 };
  const record = await backUp(await openArchive(both, { tuning }), TREE);
  expect(distrusted.size).toBeGreaterThan(0);
  expect((await keysOf(store)).length).toBeGreaterThan(5);
  const { tree } = await restoreTree(await openArchive(store, { tuning }), record);
  expect(digestOf(tree)).toEqual(digestOf(TREE));
});
