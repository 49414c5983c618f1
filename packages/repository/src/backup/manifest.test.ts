import { hash } from 'node:crypto';
import type { Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { createMemoryStore } from '@keyframe/testkit';
import { expect, test } from 'vitest';
import {
  backUp,
  compressible,
  digestOf,
  FACTS,
  openArchive,
  plainDeflate,
  restoreTree,
  SMALL,
  SYSTEM_IDENTIFIER,
} from '../../test/support.ts';
import { Keyring } from '../encryption/keyring.ts';
import type { EpochContext } from '../epoch-context.ts';
import type { FrameRecord } from '../format/extents.ts';
import type { PackLine } from '../format/manifest-tables.ts';
import { Codecs } from '../objects/codecs.ts';
import { DEFAULT_TUNING } from '../tuning.ts';
import { Failure } from './failure.ts';
import { ManifestBuilder } from './manifest-builder.ts';
import { ManifestSpool } from './manifest-spool.ts';
import { Signatures } from '../signing/signatures.ts';
import type { ManifestEntry } from './manifest.ts';
import { PackStream } from './pack-stream.ts';
import { PackTable } from './pack-table.ts';
import type { BackupRecord } from './record.ts';
import { StoredManifest } from './stored-manifest.ts';

test('a path is found without reading the manifest whole', async () => {
  const store = createMemoryStore();
  const archive = await openArchive(store, { tuning: { ...SMALL, manifestChunkBytes: 3000 } });
  const tree = new Map(
    Array.from({ length: 2000 }, (_, index) => [`base/${index % 7}/${index}`, compressible(index % 50)]),
  );
  const record = await backUp(archive, tree);
  let read = 0;
  const watched: Store = {
    ...store,
    get: (key, how) => {
      read += (how?.range?.end ?? 0) - (how?.range?.start ?? 0);
      return store.get(key, how);
    },
  };
  const manifest = await StoredManifest.open(contextOf(watched), record);
  for (const index of [0, 777, 1999]) {
    read = 0;
    const path = `base/${index % 7}/${index}`;
    const entry = await manifest.find(path);
    expect(entry).toMatchObject({ path, ordinal: index, sizeBytes: index % 50 });
    if (entry === undefined) continue;
    const extents = await manifest.extents(entry);
    expect(extents.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0)).toBe(index % 50);
    expect(read).toBeLessThan(record.manifest.sizeBytes);
  }
  expect(await manifest.find('base/1/0')).toBeUndefined();
});

test('the texts of the server are kept byte for byte', async () => {
  const archive = await openArchive(createMemoryStore());
  const serverManifest = compressible(2_500_000);
  const tablespaceMap = '16400 /srv/fast disk\n';
  const record = await backUp(archive, new Map(), { ...FACTS, serverManifest, tablespaceMap });
  const manifest = await archive.backups.manifest(record);
  expect((await manifest.serverManifest()).equals(serverManifest)).toBe(true);
  expect((await manifest.backupLabel()).toString()).toBe(FACTS.backupLabel);
  expect((await manifest.tablespaceMap())?.toString()).toBe(tablespaceMap);
  const without = await archive.backups.manifest(await backUp(archive, new Map()));
  expect(await without.tablespaceMap()).toBeUndefined();
});

const LABEL = '20261121T030000Z-full';

function plainKeyring(store: Store): Keyring {
  const identity = () => Promise.reject(new Error('nobody asks'));
  return new Keyring({ store, identity, encryption: undefined });
}

function contextOf(store: Store): EpochContext {
  const epoch = { number: 1, systemIdentifier: SYSTEM_IDENTIFIER, postgresVersion: 180_006, createdAt: '' };
  const codecs = new Codecs([plainDeflate]);
  const signatures = new Signatures(store, 'x', () => new Date(0));
  const sizes = {
    signatures,
    keyring: plainKeyring(store),
    contentKey: Buffer.alloc(32),
    tuning: DEFAULT_TUNING,
    frameBytes: 262_144,
    walFrameBytes: 1_048_576,
  };
  const place = { repositoryId: 'x', cluster: 'main', epoch, prefix: 'clusters/main/1/' };
  return { store, compressor: plainDeflate, codecs, now: () => new Date(0), ...sizes, ...place };
}

interface Crafted {
  readonly entries: readonly Omit<ManifestEntry, 'ordinal'>[];
  readonly frames: readonly FrameRecord[];
  readonly packs: readonly PackLine[];
}

/** Writes a manifest such as a later backup, or a wrong writer, may write. */
async function craft(store: Store, { entries, frames, packs }: Crafted, like: BackupRecord): Promise<BackupRecord> {
  const context = contextOf(store);
  const failure = new Failure(undefined);
  const prefix = `${context.prefix}backups/${LABEL}/`;
  const series = {
    store,
    prefix,
    header: () => ({}),
    frameBytes: 1,
    failure,
    table: new PackTable(1),
    stored: () => undefined,
  };
  const target = { store, packs: new PackStream(series, 'manifest', 1), pieceBytes: 1, signal: failure.signal };
  const spool = new ManifestSpool(target, 1e9);
  const builder = new ManifestBuilder({ compressor: plainDeflate, spool, chunkBytes: 1e6, header: {} });
  for (const [ordinal, entry] of entries.entries()) await builder.entry({ ...entry, ordinal });
  for (const frame of frames) await builder.frame('data', frame);
  await builder.closeLists();
  const { bytes, root } = await builder.finish(packs, Buffer.from('{"format":1}'));
  await store.put(`${prefix}manifest`, bytes);
  const sha256 = bytes.sha256.toString('hex');
  const proof = { key: `${prefix}manifest`, sizeBytes: bytes.sizeBytes, sha256, root: root.toString('hex') };
  return { ...like, label: LABEL, manifest: { ...proof, copy: { key: `${prefix}pack-00001`, offset: 0 } } };
}

const FILE = { type: 'file', mode: 0o600, modifiedAtSeconds: 0 } as const;

/** One backup of one file in one frame, and what a manifest says of that frame. */
async function oneFrame() {
  const store = createMemoryStore();
  const archive = await openArchive(store);
  const content = compressible(3000);
  const record = await backUp(archive, new Map([['a', content]]));
  const [chunk] = await Array.fromAsync((await StoredManifest.open(contextOf(store), record)).extentChunks());
  const frame = chunk?.frames[0];
  if (frame === undefined) throw new Error('no frame');
  const tableSha256 = hash('sha256', '', 'buffer');
  const pack: PackLine = { epoch: 1, label: record.label, number: 1, tableOffset: 0, frames: 1, tableSha256 };
  return { store, archive, content, record, frame, pack };
}

test('a manifest may name parts of frames of other backups, and use one for several files', async () => {
  const { store, archive, content, record, frame, pack } = await oneFrame();
  const extents = [
    { ordinal: 0, fileOffset: 0, sizeBytes: 1000, frameOffset: 2000 },
    { ordinal: 1, fileOffset: 500, sizeBytes: 500, frameOffset: 0 },
    { ordinal: 1, fileOffset: 0, sizeBytes: 500, frameOffset: 2500 },
  ];
  const entries = [
    { ...FILE, path: 'x', sizeBytes: 1000 },
    { ...FILE, path: 'y', sizeBytes: 1000 },
  ];
  const later = await craft(store, { entries, frames: [{ ...frame, extents }], packs: [pack] }, record);
  const { tree } = await restoreTree(archive, later);
  const y = Buffer.concat([content.subarray(2500), content.subarray(0, 500)]);
  expect(digestOf(tree)).toEqual(
    digestOf(
      new Map([
        ['x', content.subarray(2000)],
        ['y', y],
      ]),
    ),
  );
});

test('a manifest may name packs of an earlier epoch', async () => {
  const { store, archive, content, record, frame, pack } = await oneFrame();
  const bytes = await Array.fromAsync(await store.get(`clusters/main/1/backups/${record.label}/pack-00001`));
  await store.put('clusters/main/7/backups/old/pack-00012', bytesOf(...bytes));
  const entries = [{ ...FILE, path: 'x', sizeBytes: 3000 }];
  const packs = [{ ...pack, epoch: 7, label: 'old', number: 12 }];
  const later = await craft(store, { entries, frames: [frame], packs }, record);
  expect(digestOf((await restoreTree(archive, later)).tree)).toEqual(digestOf(new Map([['x', content]])));
});

const whole = { ordinal: 0, fileOffset: 0, sizeBytes: 3000, frameOffset: 0 };

test.each([
  ['no extent', []],
  ['a gap', [{ ...whole, sizeBytes: 2999 }]],
  ['bytes that come twice', [whole, { ...whole, sizeBytes: 1 }]],
  ['an extent behind the end of its file', [{ ...whole, fileOffset: 1 }]],
  ['an extent before the start of its file', [{ ...whole, fileOffset: -1 }]],
  ['an extent of an entry that is not there', [{ ...whole, ordinal: 5 }]],
  ['an extent of a directory', [whole, { ...whole, ordinal: 1, sizeBytes: 1 }]],
  ['an extent behind the end of its frame', [{ ...whole, frameOffset: 1 }]],
])('a manifest with %s is CORRUPT or gives the right bytes', async (_, extents) => {
  const { store, archive, content, record, frame, pack } = await oneFrame();
  const entries = [
    { ...FILE, path: 'x', sizeBytes: 3000 },
    { ...FILE, type: 'directory', path: 'd', sizeBytes: 0 } as const,
  ];
  const later = await craft(store, { entries, frames: [{ ...frame, extents }], packs: [pack] }, record);
  const outcome = await restoreTree(archive, later).then(({ tree }) => digestOf(tree), String);
  const right = digestOf(
    new Map<string, Buffer | string>([
      ['x', content],
      ['d/', ''],
    ]),
  );
  expect([right, expect.stringContaining('is damaged')]).toContainEqual(outcome);
});

test('a manifest that names a pack it does not list is CORRUPT', async () => {
  const { store, archive, record, frame, pack } = await oneFrame();
  const entries = [{ ...FILE, path: 'x', sizeBytes: 3000 }];
  const later = await craft(store, { entries, frames: [{ ...frame, pack: 1 }], packs: [pack] }, record);
  await expect(restoreTree(archive, later)).rejects.toMatchObject({ code: 'CORRUPT' });
});

test('a frame that is whole and yet another than the manifest says is CORRUPT', async () => {
  const { store, archive, record, frame, pack } = await oneFrame();
  const entries = [{ ...FILE, path: 'x', sizeBytes: 3000 }];
  for (const wrong of [{ number: 1 }, { plainBytes: 3001 }]) {
    const later = await craft(store, { entries, frames: [{ ...frame, ...wrong }], packs: [pack] }, record);
    await expect(restoreTree(archive, later)).rejects.toMatchObject({ code: 'CORRUPT' });
    await store.delete([later.manifest.key]);
  }
});

test.each(['/etc/passwd', '../../x', 'a/../../x', '', 'a//b', 'a\0b', '.'])(
  'a manifest with the path %j is refused before anything is written',
  async (path) => {
    const { store, archive, record, frame, pack } = await oneFrame();
    const entries = [{ ...FILE, path, sizeBytes: 3000 }];
    const later = await craft(store, { entries, frames: [frame], packs: [pack] }, record);
    await expect(restoreTree(archive, later)).rejects.toMatchObject({ code: 'CORRUPT' });
  },
);
