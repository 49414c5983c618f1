import { chmod, link, lstat, mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { ManifestEntry, RestoreSink } from '@keyframe/repository';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { RESTORE_MARKER } from './restore-claim.ts';
import { createReusingWriter, type RemovedName } from './reuse-files.ts';

let root = '';
let data = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'keyframe-reuse-'));
  data = join(root, 'data');
  await mkdir(join(data, 'global'), { recursive: true });
});
afterEach(() => rm(root, { recursive: true, force: true }));

const entry = (ordinal: number, path: string, type: ManifestEntry['type'], sizeBytes = 0): ManifestEntry => ({
  ordinal,
  path,
  type,
  mode: type === 'directory' ? 0o700 : 0o600,
  modifiedAtSeconds: 0,
  sizeBytes,
});

interface Run {
  readonly entries: readonly ManifestEntry[];
  readonly tablespaces?: ReadonlyMap<number, string>;
  readonly write?: (sink: RestoreSink, entries: readonly ManifestEntry[]) => Promise<void>;
}

/** What a restore does with the sink: announces, writes, and ends each file. */
async function restore({ entries, tablespaces = new Map(), write }: Run): Promise<[string, RemovedName][]> {
  const removed: [string, RemovedName][] = [];
  const onRemoved = (path: string, what: RemovedName): number => removed.push([path.slice(root.length + 1), what]);
  const { sink, settle, close } = createReusingWriter({ root: data, tablespaces, sync: true, onRemoved });
  for (const each of entries) await sink.entry(each);
  await sink.announced?.();
  await write?.(sink, entries);
  for (const each of entries) if (each.type === 'file') await sink.done(each);
  await settle?.();
  await close();
  return removed.toSorted(([one], [other]) => one.localeCompare(other));
}

const GLOBAL = entry(0, 'global', 'directory');

it('gives out what is there, and only whole ranges of it', async () => {
  await writeFile(join(data, 'global/1262'), 'abcdef', { mode: 0o600 });
  const into = Buffer.alloc(4);
  const found: unknown[] = [];
  await restore({
    entries: [GLOBAL, entry(1, 'global/1262', 'file', 6), entry(2, 'global/6000', 'file', 1)],
    async write(sink, [, table, absent]) {
      if (table === undefined || absent === undefined) throw new Error('no entries');
      found.push(await sink.read?.(table, 2, into), await sink.read?.(table, 3, Buffer.alloc(4)));
      found.push(await sink.read?.(absent, 0, Buffer.alloc(1)));
    },
  });
  expect([...found, into.toString()]).toEqual([true, false, false, 'cdef']);
});

it('repairs in place, cuts what is too long, and leaves the rest of a file as it is', async () => {
  await writeFile(join(data, 'global/1262'), 'abcdefgh', { mode: 0o644 });
  const before = await lstat(join(data, 'global/1262'));
  await restore({
    entries: [GLOBAL, entry(1, 'global/1262', 'file', 6), entry(2, 'global/6000', 'file', 0)],
    write: async (sink, [, table]) => table && sink.write(table, 2, Buffer.from('XY')),
  });
  expect(await readFile(join(data, 'global/1262'), 'utf8')).toBe('abXYef');
  const after = await lstat(join(data, 'global/1262'));
  expect([after.ino, after.mode & 0o777]).toEqual([before.ino, 0o600]);
  expect(await readFile(join(data, 'global/6000'), 'utf8')).toBe('');
});

it('writes the pages that differ and no others', async () => {
  const page = (text: string): Buffer => Buffer.alloc(8192, text);
  const wanted = Buffer.concat(['a', 'b', 'c', 'd', 'e'].map(page).concat(Buffer.from('rest')));
  const there = Buffer.concat(['a', 'x', 'y', 'd', 'z'].map(page).concat(Buffer.from('last')));
  await writeFile(join(data, 'global/1262'), there, { mode: 0o600 });
  const before = await lstat(join(data, 'global/1262'), { bigint: true });
  const entries = [GLOBAL, entry(1, 'global/1262', 'file', wanted.length)];
  const write: Run['write'] = async (sink, [, table]) => table && sink.write(table, 0, wanted);
  await restore({ entries, write });
  expect((await readFile(join(data, 'global/1262'))).equals(wanted)).toBe(true);
  const changed = await lstat(join(data, 'global/1262'), { bigint: true });
  await restore({ entries, write });
  const again = await lstat(join(data, 'global/1262'), { bigint: true });
  expect([changed.mtimeNs > before.mtimeNs, again.mtimeNs === changed.mtimeNs]).toEqual([true, true]);
});

it('removes what the backup does not have and keeps its own marker', async () => {
  await mkdir(join(data, 'base/5'), { recursive: true });
  for (const name of ['postmaster.pid', 'base/5/16384', 'global/pg_internal.init', RESTORE_MARKER])
    await writeFile(join(data, name), '');
  await mkdir(join(data, 'global/1262')); // where a file belongs
  await writeFile(join(data, 'pg_wal'), ''); // where a directory belongs
  const entries = [GLOBAL, entry(1, 'global/1262', 'file'), entry(2, 'pg_wal', 'directory')];
  expect(await restore({ entries })).toEqual([
    ['data/base', 'directory'],
    ['data/global/1262', 'directory'],
    ['data/global/pg_internal.init', 'file'],
    ['data/pg_wal', 'file'],
    ['data/postmaster.pid', 'file'],
  ]);
  expect((await readdir(data)).toSorted()).toEqual([RESTORE_MARKER, 'global', 'pg_wal']);
  expect((await lstat(join(data, 'pg_wal'))).isDirectory()).toBe(true);
});

it('follows no link: what a link leads to stays as it was', async () => {
  await mkdir(join(root, 'wal'));
  await writeFile(join(root, 'wal/000000010000000000000001'), 'x');
  await symlink(join(root, 'wal'), join(data, 'pg_wal'));
  await writeFile(join(root, 'conf'), 'theirs');
  await symlink(join(root, 'conf'), join(data, 'postgresql.conf'));
  const entries = [
    GLOBAL,
    entry(1, 'pg_wal', 'directory'),
    entry(2, 'pg_wal/archive_status', 'directory'),
    entry(3, 'postgresql.conf', 'file', 4),
  ];
  const removed = await restore({
    entries,
    write: async (sink, [, , , file]) => file && sink.write(file, 0, Buffer.from('ours')),
  });
  expect(removed).toEqual([
    ['data/pg_wal', 'link'],
    ['data/postgresql.conf', 'link'],
  ]);
  expect(await readdir(join(root, 'wal'))).toEqual(['000000010000000000000001']);
  expect(await readFile(join(root, 'conf'), 'utf8')).toBe('theirs');
  expect(await readFile(join(data, 'postgresql.conf'), 'utf8')).toBe('ours');
});

it('never writes into a file that has another name elsewhere', async () => {
  await writeFile(join(data, 'global/1262'), 'abc', { mode: 0o600 });
  await link(join(data, 'global/1262'), join(root, 'copy'));
  await restore({
    entries: [GLOBAL, entry(1, 'global/1262', 'file', 3)],
    async write(sink, [, table]) {
      if (table === undefined) throw new Error('no entry');
      expect(await sink.read?.(table, 0, Buffer.alloc(3))).toBe(false);
      await sink.write(table, 0, Buffer.from('xyz'));
    },
  });
  expect(await readFile(join(root, 'copy'), 'utf8')).toBe('abc');
  expect(await readFile(join(data, 'global/1262'), 'utf8')).toBe('xyz');
});

it('makes anew what its owner may not write', async () => {
  await writeFile(join(data, 'server.key'), 'old', { mode: 0o400 });
  await restore({
    entries: [GLOBAL, { ...entry(1, 'server.key', 'file', 3), mode: 0o400 }],
    write: async (sink, [, key]) => key && sink.write(key, 0, Buffer.from('new')),
  });
  expect(await readFile(join(data, 'server.key'), 'utf8')).toBe('new');
  expect((await lstat(join(data, 'server.key'))).mode & 0o777).toBe(0o400);
});

it('takes permissions of others away from directories', async () => {
  await chmod(join(data, 'global'), 0o755);
  await chmod(data, 0o750);
  await restore({ entries: [GLOBAL] });
  expect([(await lstat(join(data, 'global'))).mode & 0o777, (await lstat(data)).mode & 0o777]).toEqual([0o700, 0o700]);
});

it('keeps the links of tablespaces that lead to the right place, and what lies there', async () => {
  const [space, old] = [join(root, 'space'), join(root, 'old')];
  await mkdir(join(space, 'PG_18_202506291'), { recursive: true });
  await mkdir(old);
  await mkdir(join(data, 'pg_tblspc'));
  await writeFile(join(space, 'PG_18_202506291/1'), 'x', { mode: 0o600 });
  await writeFile(join(space, 'PG_18_202506291/2'), 'gone');
  await symlink(space, join(data, 'pg_tblspc/16400'));
  await symlink(old, join(data, 'pg_tblspc/16500'));
  const entries = [
    GLOBAL,
    entry(1, 'pg_tblspc', 'directory'),
    entry(2, 'pg_tblspc/16400/PG_18_202506291', 'directory'),
    entry(3, 'pg_tblspc/16400/PG_18_202506291/1', 'file', 1),
    entry(4, 'pg_tblspc/16400', 'symlink'),
  ];
  const removed = await restore({ entries, tablespaces: new Map([[16400, space]]) });
  expect(removed).toEqual([
    ['data/pg_tblspc/16500', 'link'],
    ['space/PG_18_202506291/2', 'file'],
  ]);
  expect(await readFile(join(data, 'pg_tblspc/16400/PG_18_202506291/1'), 'utf8')).toBe('x');
});
