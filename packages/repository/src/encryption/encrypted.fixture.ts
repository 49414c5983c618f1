import type { Compressor, Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { contentOf } from '@keyframe/testkit';
import { keysOf, open, sampleTree, SMALL, SYSTEM_IDENTIFIER, type Tree } from '../../test/support.ts';
import type { EpochArchive, NamedEncryptor, RepositoryContext } from '../index.ts';
import type { WalFile } from '../wal/wal-archive.ts';
import { encryption, passphrase } from './keys.fixture.ts';

export const KEY: NamedEncryptor = passphrase('correct horse battery');
export const SEGMENT = '000000010000000000000003';
export const NEEDLE = 'the needle in the haystack that nobody may find';

export const encrypted = (...keys: readonly NamedEncryptor[]): Partial<RepositoryContext> => ({
  tuning: SMALL,
  encryption: encryption(...keys),
});

/** The archive as another process would open it. */
export const reopen = (store: Store, more: Partial<RepositoryContext>): Promise<EpochArchive> =>
  open(store, more).cluster('main').find(SYSTEM_IDENTIFIER);

export const walFile = (content: Uint8Array, name: string = SEGMENT): WalFile => ({
  name,
  content: bytesOf(content),
  facts: { systemIdentifier: SYSTEM_IDENTIFIER, timeline: 1, segmentSizeBytes: content.length },
});

export async function readWal(archive: EpochArchive, name: string = SEGMENT): Promise<Buffer> {
  const found = await archive.wal.get(name);
  const chunks: Uint8Array[] = [];
  for await (const chunk of found?.content ?? []) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/** A tree that holds the needle in a big and in a small file, uncompressed as it is. */
export function treeWithNeedles(): Tree {
  const big = Buffer.alloc(700_000, NEEDLE);
  return new Map([...sampleTree(), ['base/1/needle', big], ['base/1/small-needle', Buffer.from(NEEDLE)]]);
}

/** Keys of the objects in which a text stands. */
export async function bytesWith(store: Store, text: string): Promise<string[]> {
  const keys = await keysOf(store);
  const found = await Promise.all(keys.map(async (key) => [key, (await bytesAt(store, key)).includes(text)] as const));
  return found.flatMap(([key, has]) => (has ? [key] : []));
}

/** Copies bytes of one object over another's, as who can write to the bucket might. */
export async function overwrite(store: Store, key: string, bytes: Uint8Array): Promise<void> {
  await store.delete([key]);
  await store.put(key, bytesOf(bytes));
}

/** So that what is not encrypted can be found. */
export const uncompressed: Compressor = {
  id: 'none',
  compress: async (frame: Uint8Array) => Uint8Array.from(frame),
  decompress: async (frame: Uint8Array) => Uint8Array.from(frame),
};

/** An object whole. */
export async function bytesAt(store: Store, key: string): Promise<Buffer> {
  const bytes = await contentOf(store, key);
  if (bytes === undefined) throw new Error(`there is no ${key}`);
  return bytes;
}
