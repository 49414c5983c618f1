import { execFile } from 'node:child_process';
import { hash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { lstat, mkdtemp, readFile, readlink, rename, rm, writeFile } from 'node:fs/promises';
import { homedir, tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import gzipPlugin from '@keyframe/compress-gzip';
import zstdPlugin from '@keyframe/compress-zstd';
import { type Compressor, Secret } from '@keyframe/contracts';
import passphrasePlugin from '@keyframe/encrypt-passphrase';
import { bytesOf } from '@keyframe/contracts/streams';
import fsPlugin from '@keyframe/store-fs';
import { testHost } from '@keyframe/testkit';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type BackupRecord, planTranslation, translate } from '../src/index.ts';
import { increment } from './increment.ts';
import {
  backUp,
  compressible,
  FACTS,
  HOLDER,
  open,
  openArchive,
  sampleTree,
  SMALL,
  SYSTEM_IDENTIFIER,
  type Tree,
} from './support.ts';

const run = promisify(execFile);
const folder = fileURLToPath(new URL('../../../test/format-reader/', import.meta.url));
const vectors = fileURLToPath(new URL('../../../docs/format/vectors.json', import.meta.url));

let python = '';
let work = '';

beforeAll(async () => {
  python = await virtualEnvironment(path.join(folder, 'requirements.txt'));
  work = await mkdtemp(path.join(tmpdir(), 'keyframe-reader-'));
});
afterAll(() => rm(work, { recursive: true, force: true }));

/** Python with the pinned packages, made once per version of the pins and kept between runs. */
async function virtualEnvironment(requirements: string): Promise<string> {
  const caches = process.env['XDG_CACHE_HOME'] ?? path.join(homedir(), '.cache');
  const home = path.join(
    caches,
    'keyframe',
    `format-reader-${hash('sha256', await readFile(requirements)).slice(0, 16)}`,
  );
  const made = path.join(home, 'bin', 'python');
  if (existsSync(made)) return made;
  const aside = `${home}.${process.pid}`;
  try {
    // Debian's python3 has venv but not the pip that would go into one.
    await run('python3', ['-m', 'venv', '--without-pip', aside]);
    const flags = ['--quiet', '--disable-pip-version-check', '--require-hashes', '--only-binary=:all:', '--no-deps'];
    const into = ['-m', 'pip', '--python', path.join(aside, 'bin', 'python')];
    await run('python3', [...into, 'install', ...flags, '--requirement', requirements]);
    await rename(aside, home).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error; // another process was first
    });
  } finally {
    await rm(aside, { recursive: true, force: true });
  }
  return made;
}

async function read(...args: string[]): Promise<string> {
  const { stderr } = await run(python, [path.join(folder, 'reader.py'), ...args]);
  return stderr;
}

async function makeRepository(name: string, compressor: Compressor, tree: Tree) {
  const directory = path.join(work, name);
  const store = fsPlugin.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, testHost());
  const archive = await openArchive(store, { compressor, tuning: SMALL });
  return { directory, store, archive, record: await backUp(archive, tree) };
}

async function expectRestored(target: string, tree: Tree): Promise<void> {
  const found = await Promise.all([...tree.keys()].map(async (name) => [name, await describeFile(target, name)]));
  const expected = [...tree].map(([name, content]) => [name, describeContent(name, content)]);
  expect(Object.fromEntries(found)).toEqual(Object.fromEntries(expected));
}

async function describeFile(target: string, name: string): Promise<object> {
  const file = path.join(target, name);
  const info = await lstat(file);
  if (info.isSymbolicLink()) return { link: await readlink(file) };
  const mode = info.mode & 0o777;
  return info.isDirectory() ? { mode } : { mode, mtimeMs: info.mtimeMs, sha256: hash('sha256', await readFile(file)) };
}

function describeContent(name: string, content: Uint8Array | string): object {
  if (name.endsWith('/')) return { mode: 0o700 };
  if (typeof content === 'string') return { link: content };
  return { mode: 0o600, mtimeMs: 1_763_600_000_000, sha256: hash('sha256', content) };
}

const compressors = [
  ['zstd', zstdPlugin.create({ level: 1 }, testHost())],
  ['gzip', gzipPlugin.create({ level: 1 }, testHost())],
] as const;

/** Members of a tablespace lie behind a link, which here would lead out of the target. */
const treeWithoutTablespace = new Map([...sampleTree()].filter(([name]) => !name.startsWith('pg_tblspc/16400/')));

test.each(compressors)(
  'a reader that knows only the specification restores a backup compressed with %s',
  async (name, compressor) => {
    const { directory, record } = await makeRepository(name, compressor, treeWithoutTablespace);
    const target = path.join(work, `${name}-restored`);
    await read('restore', directory, 'main', record.label, target);
    await expectRestored(target, treeWithoutTablespace);
    expect(await readFile(`${target}.backup_manifest`)).toEqual(Buffer.from(FACTS.serverManifest));
  },
);

test('that reader restores an increment, whose bytes lie in packs of many backups', async () => {
  const { directory, archive, record } = await makeRepository('increment', compressors[0][1], treeWithoutTablespace);
  let [parent, tree]: [BackupRecord, Tree] = [record, treeWithoutTablespace];
  for (let turn = 0; turn < 3; turn += 1) {
    tree = new Map([...tree].map(([name, content]) => [name, touched(name, content, turn)]));
    parent = await increment(archive, parent, tree, { views: turn === 1 });
  }
  expect(parent.fragmentation?.otherPacks).toBeGreaterThan(3);
  const target = path.join(work, 'increment-restored');
  await read('restore', directory, 'main', parent.label, target);
  await expectRestored(target, tree);
});

function touched(name: string, content: Uint8Array | string, turn: number): Uint8Array | string {
  if (typeof content === 'string' || content.length < 40_000 || name.endsWith('random')) return content;
  const copy = Buffer.from(content);
  for (const page of [turn, turn + 2]) compressible(8192).copy(copy, page * 8192);
  return copy;
}

test('that reader fetches WAL files', async () => {
  const { directory, archive } = await makeRepository('wal', compressors[0][1], new Map());
  const segment = compressible(16 << 20);
  const facts = { systemIdentifier: SYSTEM_IDENTIFIER, timeline: 1, segmentSizeBytes: segment.length };
  await archive.wal.put({ name: '000000010000000000000003', content: bytesOf(segment), facts });
  const text = Buffer.from('1\t0/3000000\tno recovery target specified\n');
  const history = { name: '00000002.history', content: bytesOf(text), facts: { systemIdentifier: SYSTEM_IDENTIFIER } };
  await archive.wal.put(history);
  const target = path.join(work, 'fetched');
  await read('wal', directory, 'main', '1', '000000010000000000000003', target);
  expect(Buffer.compare(await readFile(target), segment)).toBe(0);
  await read('wal', directory, 'main', '1', '00000002.history', target);
  expect(await readFile(target)).toEqual(text);
  const name = '000000010000000000000004';
  for (const [start, end] of [
    [0, 5000],
    [3000, 70_000],
    [70_001, 80_000],
  ] as const) {
    const content = { ...bytesOf(segment.subarray(start, end)), sizeBytes: end - start };
    await archive.wal.putPart({ segment: name, start, content, facts });
  }
  await read('wal', directory, 'main', '1', name, target);
  const expected = Buffer.alloc(segment.length);
  expected.set(segment.subarray(0, 70_000));
  expect(Buffer.compare(await readFile(target), expected)).toBe(0);
});

test('that reader opens an encrypted repository by its passphrase, after a rotation too', async () => {
  const directory = path.join(work, 'encrypted');
  const store = fsPlugin.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, testHost());
  const phrase = 'a passphrase, compose\u0301';
  const options = { passphrase: new Secret(phrase), name: 'passphrase', work: 14 };
  const encryptors = [{ kind: 'passphrase', encryptor: passphrasePlugin.create(options, testHost()) }];
  const more = { compressor: compressors[0][1], tuning: SMALL, encryption: { encryptors } };
  const archive = await openArchive(store, more);
  const first = await backUp(archive, treeWithoutTablespace);
  const segment = compressible(1 << 20);
  const facts = { systemIdentifier: SYSTEM_IDENTIFIER, timeline: 1, segmentSizeBytes: segment.length };
  await archive.wal.put({ name: '000000010000000000000003', content: bytesOf(segment), facts });
  await open(store, more).keys.rotate();
  const later = await open(store, more).cluster('main').find(SYSTEM_IDENTIFIER);
  const tree = new Map([...treeWithoutTablespace].map(([name, content]) => [name, touched(name, content, 1)]));
  const second = await increment(later, first, tree, { views: true });
  const text = Buffer.from('1\t0/3000000\tno recovery target specified\n');
  const history = { name: '00000002.history', content: bytesOf(text), facts: { systemIdentifier: SYSTEM_IDENTIFIER } };
  await later.wal.put(history);

  process.env['KEYFRAME_PASSPHRASE'] = phrase.normalize('NFC');
  try {
    for (const [record, expected] of [
      [first, treeWithoutTablespace],
      [second, tree],
    ] as const) {
      const target = path.join(work, `encrypted-${record.label}`);
      await read('restore', directory, 'main', record.label, target);
      await expectRestored(target, expected);
    }
    const target = path.join(work, 'encrypted-wal');
    await read('wal', directory, 'main', '1', '000000010000000000000003', target);
    expect(Buffer.compare(await readFile(target), segment)).toBe(0);
    await read('wal', directory, 'main', '1', '00000002.history', target);
    expect(await readFile(target)).toEqual(text);
    process.env['KEYFRAME_PASSPHRASE'] = 'another passphrase';
    const refused = read('wal', directory, 'main', '1', '00000002.history', target);
    await expect(refused).rejects.toMatchObject({ stderr: expect.stringContaining('cannot be decrypted') });
  } finally {
    delete process.env['KEYFRAME_PASSPHRASE'];
  }
});

test('that reader restores what was copied under other keys, from the copy of its manifest too', async () => {
  const {
    store: from,
    archive,
    record: parent,
  } = await makeRepository('source', compressors[1][1], treeWithoutTablespace);
  const tree = new Map([...treeWithoutTablespace].map(([name, content]) => [name, touched(name, content, 2)]));
  const record = await increment(archive, parent, tree, { views: true });
  const directory = path.join(work, 'translated');
  const store = fsPlugin.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, testHost());
  const phrase = 'another passphrase of the copy';
  const options = { passphrase: new Secret(phrase), name: 'passphrase', work: 14 };
  const encryptors = [{ kind: 'passphrase', encryptor: passphrasePlugin.create(options, testHost()) }];
  const [[, zstd], [, gzip]] = compressors;
  const more = {
    compressor: zstd,
    compressors: [gzip].filter((each) => each !== undefined),
    encryption: { encryptors },
  };
  const places = { from: open(from, { compressor: gzip }), to: open(store, more) };
  await places.to.init();
  const context = { ...places, holder: HOLDER, isHolderAlive: () => false, tool: 'keyframe 0.1.0' };
  const report = await translate(context, await planTranslation(context, {}));
  expect(report).toMatchObject({ backups: 2, present: 0 });
  process.env['KEYFRAME_PASSPHRASE'] = phrase;
  try {
    const target = path.join(work, 'translated-restored');
    await read('restore', directory, 'main', record.label, target);
    await expectRestored(target, tree);
    await flip(path.join(directory, record.manifest.key), 400);
    const again = path.join(work, 'translated-again');
    await read('restore', directory, 'main', record.label, again);
    await expectRestored(again, tree);
  } finally {
    delete process.env['KEYFRAME_PASSPHRASE'];
  }
});

test('that reader takes the copy of a damaged manifest, and refuses a damaged pack', async () => {
  const { directory, record } = await makeRepository('damaged', compressors[0][1], treeWithoutTablespace);
  await flip(path.join(directory, record.manifest.key), 200);
  const target = path.join(work, 'copy-restored');
  await read('restore', directory, 'main', record.label, target);
  await expectRestored(target, treeWithoutTablespace);
  await flip(path.join(directory, record.manifest.copy.key), 2000);
  const refused = read('restore', directory, 'main', record.label, path.join(work, 'refused'));
  await expect(refused).rejects.toMatchObject({ stderr: expect.stringContaining('damaged: frame') });
});

test('that reader agrees with the test vectors of the specification', async () => {
  expect(await read('vectors', vectors)).toBe('');
});

async function flip(file: string, at: number): Promise<void> {
  const bytes = await readFile(file);
  bytes[at] = (bytes[at] ?? 0) ^ 1;
  await rm(file);
  await writeFile(file, bytes);
}
