import { hash, randomFillSync, randomInt } from 'node:crypto';
import { type Compressor, KeyframeError, lsn, type Store } from '@keyframe/contracts';
import { promisify } from 'node:util';
import zlib from 'node:zlib';
import {
  type BackupFacts,
  type BackupIntent,
  type BackupRecord,
  type BackupWriter,
  type EpochArchive,
  type LeaseHolder,
  type ManifestEntry,
  openRepository,
  type ReadOptions,
  type ReadReport,
  type Repository,
  type RepositoryContext,
  type RepositoryTuning,
} from '../src/index.ts';

const deflate = promisify(zlib.deflateRaw);
const inflate = promisify(zlib.inflateRaw);

/** A codec without a checksum of its own, so that only ours can notice damage. */
export const plainDeflate: Compressor = {
  id: 'deflate',
  compress: (frame) => deflate(frame, { level: 1 }),
  decompress: async (frame, sizeBytes) => {
    const plain = await inflate(frame, { maxOutputLength: sizeBytes + 1 }).catch((cause: unknown) => {
      throw new KeyframeError('CORRUPT', 'does not inflate', { cause });
    });
    if (plain.length !== sizeBytes) throw new KeyframeError('CORRUPT', `inflates to ${plain.length} bytes`);
    return plain;
  },
};

export const HOLDER: LeaseHolder = {
  host: 'db1',
  bootId: 'boot-1',
  pid: 4711,
  processStart: '123456',
  command: 'keyframe backup',
};

export const SYSTEM_IDENTIFIER = '7400000000000000001';

export const FACTS: BackupFacts = {
  postgresVersion: 180_006,
  timeline: 1,
  startLsn: lsn(0x3_00_00_28n),
  stopLsn: lsn(0x3_00_01_20n),
  stopTimeline: 1,
  startedAt: '2026-11-20T03:00:00.123456Z',
  stoppedAt: '2026-11-20T03:05:00.654321Z',
  walSegmentSizeBytes: 16 << 20,
  dataChecksums: true,
  tablespaces: [{ oid: 16_400, location: '/srv/fast disk' }],
  backupLabel: 'START WAL LOCATION: 0/3000028 (file 000000010000000000000003)\n',
  serverManifest: Buffer.from('{ "PostgreSQL-Backup-Manifest-Version": 2,\n"Files": [] }\n'),
};

/** Small sizes, so that little data makes many packs, frames and chunks. */
export const SMALL: Partial<RepositoryTuning> = {
  packBytes: 600_000,
  bundlePackBytes: 300_000,
  bundleLimitBytes: 100_000,
  manifestChunkBytes: 2000,
};

const aMorning = (): Date => new Date('2026-11-20T03:00:00Z');

export function open(store: Store, more: Partial<RepositoryContext> = {}): Repository {
  return openRepository({ store, compressor: plainDeflate, compressors: [], now: aMorning, ...more });
}

/** A repository with one cluster of one epoch. */
export async function openArchive(store: Store, more: Partial<RepositoryContext> = {}): Promise<EpochArchive> {
  const repository = open(store, more);
  await repository.init();
  return repository.cluster('main').create({ systemIdentifier: SYSTEM_IDENTIFIER, postgresVersion: 180_006 });
}

/** What a test backs up: a path ending in `/` is a directory, a text a symbolic link, bytes a file. */
export type Tree = ReadonlyMap<string, Uint8Array | string>;

/** A tree that is quick to compare: the hash of each file. */
export function digestOf(tree: Tree): Record<string, string> {
  const all = [...tree].map(([path, each]) => [path, typeof each === 'string' ? each : hash('sha256', each)]);
  return Object.fromEntries(all);
}

export async function writeTree(writer: BackupWriter, tree: Tree, chunkBytes = 65_536): Promise<void> {
  const common = { mode: 0o600, modifiedAtSeconds: 1_763_600_000 };
  for (const [path, content] of tree) {
    if (path.endsWith('/')) await writer.directory({ ...common, path: path.slice(0, -1), mode: 0o700 });
    else if (typeof content === 'string') await writer.symlink({ ...common, path, linkTarget: content });
    else {
      const sink = writer.file({ ...common, path, sizeBytes: content.length });
      for (let at = 0; at < content.length; at += chunkBytes) await sink.write(content.subarray(at, at + chunkBytes));
      await sink.end();
    }
  }
}

export const INTENT: Omit<BackupIntent, 'label' | 'startedAt'> = {
  type: 'full',
  method: 'stream',
  holder: HOLDER,
  tool: 'keyframe 0.1.0',
};

export async function backUp(archive: EpochArchive, tree: Tree, facts: BackupFacts = FACTS): Promise<BackupRecord> {
  const writer = await archive.backups.begin(INTENT);
  await writeTree(writer, tree);
  return writer.publish(await writer.finish(facts));
}

/** Reads a backup back, and fails when a byte comes twice, never, or after its file was declared complete. */
export async function restoreTree(
  archive: EpochArchive,
  record: BackupRecord,
  options: ReadOptions = {},
): Promise<{ readonly tree: Tree; readonly report: ReadReport }> {
  const tree = new Map<string, Uint8Array | string>();
  const seen = new Map<string, Uint8Array>();
  const done = new Set<string>();
  const report = await archive.backups.read(
    record,
    {
      entry: (entry: ManifestEntry) => {
        if (entry.type === 'directory') tree.set(`${entry.path}/`, '');
        else if (entry.type === 'symlink') tree.set(entry.path, entry.linkTarget ?? '');
        else if (options.only?.(entry) !== false) {
          tree.set(entry.path, Buffer.alloc(entry.sizeBytes));
          seen.set(entry.path, new Uint8Array(entry.sizeBytes));
        }
      },
      write: async ({ path }, offset, data) => {
        const marks = seen.get(path)?.subarray(offset, offset + data.length);
        if (done.has(path) || marks?.length !== data.length || marks.includes(1)) throw new Error(`twice: ${path}`);
        marks.fill(1);
        await new Promise((resolve) => setImmediate(resolve)); // the view must live until this promise settles
        const content = tree.get(path);
        if (content instanceof Uint8Array) content.set(data, offset);
      },
      done: ({ path }) => {
        if (done.has(path) || seen.get(path)?.includes(0) === true) throw new Error(`not complete: ${path}`);
        done.add(path);
      },
    },
    options,
  );
  if (done.size !== seen.size) throw new Error(`${seen.size - done.size} files are not complete`);
  return { tree, report };
}

/** 4 MiB that compress to about a third. */
const SAMPLE: Buffer = Buffer.alloc(4 << 20);
for (let at = 0; at < SAMPLE.length; at += 300) randomFillSync(SAMPLE, at, Math.min(100, SAMPLE.length - at));

/** Bytes that compress to about a third, elsewhere cut each time. */
export function compressible(sizeBytes: number): Buffer {
  const bytes = Buffer.allocUnsafe(sizeBytes);
  let from = randomInt(SAMPLE.length);
  for (let at = 0; at < sizeBytes;) {
    at += SAMPLE.copy(bytes, at, from);
    from = 0;
  }
  return bytes;
}

/** A little cluster with everything that a data directory can hold. */
export function sampleTree(): Tree {
  return new Map<string, Uint8Array | string>([
    ['PG_VERSION', Buffer.from('18\n')],
    ['base/', ''],
    ['base/1/', ''],
    ['base/1/1247', compressible(122_880)],
    ['base/1/1249', compressible(40_960)],
    ['base/1/empty', Buffer.alloc(0)],
    ['base/1/16384', compressible(1_500_123)],
    ['base/1/16384.1', Buffer.alloc(700_000)],
    ['base/1/random', randomFillSync(Buffer.alloc(300_000))],
    ['pg_tblspc/', ''],
    ['pg_tblspc/16400', '/srv/fast disk'],
    ['pg_tblspc/16400/PG_18_202506291/5/ünïcode', compressible(8192)],
    ['global/', ''],
    ['global/pg_control', compressible(8192)],
  ]);
}

/** Every object of a store, by key. */
export async function keysOf(store: Store, prefix = ''): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix)) keys.push(key);
  return keys;
}
