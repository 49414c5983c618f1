import { hasCode, Secret, type Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { createMemoryStore } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import {
  backUp,
  digestOf,
  FACTS,
  INTENT,
  keysOf,
  open,
  openArchive,
  restoreTree,
  SMALL,
  SYSTEM_IDENTIFIER,
  type Tree,
} from '../../test/support.ts';
import { decodeFooter, decodeTable, FOOTER_BYTES, type TableEntry } from '../format/container-tail.ts';
import type { BackupRecord, EpochArchive } from '../index.ts';
import {
  bytesAt,
  encrypted,
  KEY,
  NEEDLE,
  readWal,
  reopen,
  SEGMENT,
  treeWithNeedles,
  uncompressed,
  walFile,
} from './encrypted.fixture.ts';
import { IndexKeys } from './index-keys.ts';
import { age, OFFICE, SAFE } from './keys.fixture.ts';
import { ObjectCipher } from './object-cipher.ts';

test('a host with public keys and the index key writes what it cannot read', async () => {
  const store = createMemoryStore();
  const reader = age([OFFICE.recipient, SAFE.recipient], SAFE.identity);
  const more = { ...encrypted(reader), compressor: uncompressed };
  await openArchive(store, more);
  const indexKey = await open(store, more).keys.exportIndex();
  const writeOnly = {
    compressor: uncompressed,
    tuning: SMALL,
    encryption: { encryptors: [age([OFFICE.recipient, SAFE.recipient])], indexKey },
  };
  const tree = treeWithNeedles();
  const archive = await reopen(store, writeOnly);
  const full = await backUp(archive, tree);
  const wal = Buffer.alloc(1 << 20, `${NEEDLE} `);
  await archive.wal.put(walFile(wal));
  expect(await (await reopen(store, writeOnly)).wal.put(walFile(wal))).toBe('already-archived');
  const next = await backUpOn(await reopen(store, writeOnly), full, tree);
  expect(next.reusedBytes).toBeGreaterThan(700_000);
  expect(next.storedBytes).toBeLessThan(full.storedBytes / 10);

  // What tells of timelines holds no page, and is needed after a promotion.
  const history = Buffer.from('1\t0/3000000\tno recovery target specified\n');
  const place = { name: '00000002.history', content: bytesOf(history), facts: { systemIdentifier: SYSTEM_IDENTIFIER } };
  await archive.wal.put(place);
  expect(await readWal(await reopen(store, writeOnly), '00000002.history')).toEqual(history);

  // It reads names and places, and not one page.
  const own = await reopen(store, writeOnly);
  expect((await own.backups.manifest(next)).packs().length).toBeGreaterThan(1);
  for (const record of [full, next])
    await expect(restoreTree(own, record)).rejects.toMatchObject({ code: 'KEY_REQUIRED' });
  await expect(own.wal.get(SEGMENT)).rejects.toMatchObject({ code: 'KEY_REQUIRED' });
  // Nor by hand, with every key that it has: no key derived from the index key opens a frame.
  const opened = await framesOpenedBy(store, indexKey);
  expect(opened).toEqual({ pack: 0, wal: 0, manifest: expect.any(Number) as number });
  expect(opened.manifest).toBeGreaterThan(3); // the index itself: the attempt can succeed

  const readable = await reopen(store, encrypted(age([SAFE.recipient], SAFE.identity)));
  for (const record of [full, next])
    expect(digestOf((await restoreTree(readable, record)).tree)).toEqual(digestOf(tree));
  expect((await readWal(readable)).equals(wal)).toBe(true);
});

test('with the index key a slow key is not tried to archive, nor for a backup that reads no earlier bytes', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(KEY));
  const indexKey = await open(store, encrypted(KEY)).keys.exportIndex();
  let tries = 0;
  const unwrap: typeof KEY.encryptor.unwrap = (...given) => {
    tries += 1;
    return KEY.encryptor.unwrap(...given);
  };
  const slow = { ...KEY, encryptor: { ...KEY.encryptor, unwrap } };
  const more = { tuning: SMALL, encryption: { encryptors: [slow], indexKey } };
  await (await reopen(store, more)).wal.put(walFile(Buffer.alloc(1 << 20, 1)));
  const tree = treeWithNeedles();
  const full = await backUp(await reopen(store, more), tree);
  const next = await backUpOn(await reopen(store, more), full, tree);
  expect(next.reusedBytes).toBeGreaterThan(700_000);
  expect(tries).toBe(0);
  // Where frames are worn, what is kept is read from them.
  const wearing = { ...more, tuning: { ...SMALL, leastLiveShare: 2 } };
  const worn = await backUpOn(await reopen(store, wearing), next, tree);
  expect(worn.reusedBytes).toBe(0);
  expect(tries).toBe(1);
  expect(digestOf((await restoreTree(await reopen(store, more), worn)).tree)).toEqual(digestOf(tree));
});

test('a host with public keys alone cannot even write, and is told what it lacks', async () => {
  const store = createMemoryStore();
  await openArchive(store, encrypted(age([OFFICE.recipient], OFFICE.identity)));
  const archive = await reopen(store, encrypted(age([OFFICE.recipient])));
  await expect(archive.backups.begin(INTENT)).rejects.toMatchObject({ code: 'KEY_REQUIRED' });
  const other = {
    encryptors: [age([OFFICE.recipient])],
    indexKey: new Secret(`keyframe-index-key 1 ${'0'.repeat(64)}`),
  };
  const wrong = await reopen(store, { encryption: other });
  await expect(wrong.backups.begin(INTENT)).rejects.toMatchObject({ code: 'KEY_WRONG' });
});

/** An increment of a tree of which nothing changed, page runs kept without a look at them. */
async function backUpOn(archive: EpochArchive, parent: BackupRecord, tree: Tree): Promise<BackupRecord> {
  const base = await archive.backups.base(parent);
  const intent = { ...INTENT, type: 'incremental' as const, parent: parent.label };
  const writer = await archive.backups.begin(intent, { base });
  const common = { mode: 0o600, modifiedAtSeconds: 1_763_600_000 };
  for (const [path, content] of tree) {
    if (path.endsWith('/')) await writer.directory({ ...common, path: path.slice(0, -1), mode: 0o700 });
    else if (typeof content === 'string') await writer.symlink({ ...common, path, linkTarget: content });
    else {
      const file = content.length > 0 && content.length % 8192 === 0 ? await base.find(path) : undefined;
      const sink = writer.file({ ...common, path, sizeBytes: content.length }, file);
      if (file === undefined) await sink.write(content);
      else await sink.keep(content.length);
      await sink.end();
    }
  }
  return writer.publish(await writer.finish(FACTS));
}

/** Tries the index key, and every key derived from it, on every frame of every object; counts by kind what opens. */
async function framesOpenedBy(store: Store, indexKey: Secret): Promise<Record<'pack' | 'wal' | 'manifest', number>> {
  const { id } = await open(store).identity();
  const raw = Buffer.from(indexKey.reveal().trim().split(' ').at(-1) ?? '', 'hex');
  const opened = { pack: 0, wal: 0, manifest: 0 };
  for (const key of await keysOf(store, 'clusters/main/1/')) {
    if (key.endsWith('backup.json') || key.endsWith('intent')) continue;
    if (key.endsWith('.history')) continue;
    const kind = key.endsWith('/manifest') ? 'manifest' : key.includes('/wal/') ? 'wal' : 'pack';
    const bytes = await bytesAt(store, key);
    const head = 16 + bytes.readUInt32LE(8);
    const { encryption: told } = JSON.parse(bytes.toString('utf8', 16, head)) as { encryption: { salt?: string } };
    const salt = Buffer.from(told.salt ?? '', 'base64');
    const ciphers = [new IndexKeys(1, raw, id).cipher(key, salt), new ObjectCipher(1, raw, id, key)];
    for (const [number, { offset, storedBytes }] of tableOf(bytes, key).entries()) {
      const frame = bytes.subarray(offset, offset + storedBytes);
      for (const cipher of ciphers) if (opens(cipher, number, frame)) opened[kind] += 1;
    }
  }
  return opened;
}

function tableOf(bytes: Buffer, key: string): TableEntry[] {
  const { tableOffset, tailOffset } = decodeFooter(bytes.subarray(-FOOTER_BYTES), bytes.length, key);
  const table = bytes.subarray(tableOffset, tailOffset);
  return decodeTable(table, table.length === 0 ? tableOffset : Number(table.readBigUInt64LE(0)), tableOffset, key);
}

function opens(cipher: ObjectCipher, number: number, frame: Buffer): boolean {
  try {
    cipher.open(number, frame.subarray(0, 28), frame.subarray(32));
    return true;
  } catch (error) {
    if (!hasCode(error, 'CORRUPT')) throw error;
    return false;
  }
}
