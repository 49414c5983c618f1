import { lstat, mkdtemp, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { hasCode } from '@keyframe/contracts';
import type { ManifestEntry } from '@keyframe/repository';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { CONTROL_PENDING, safeJoin } from './entry-places.ts';
import { createFileWriter } from './restore-files.ts';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'keyframe-files-'));
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

it('writes ranges in any order, makes empty files, and keeps pg_control back', async () => {
  const { sink, close } = createFileWriter(root, new Map(), true);
  await sink.entry(entry(0, 'global', 'directory'));
  const control = entry(1, 'global/pg_control', 'file', 4);
  const table = entry(2, 'global/1262', 'file', 6);
  const empty = entry(3, 'global/6000', 'file');
  await sink.write(table, 3, Buffer.from('def'));
  await sink.write(control, 0, Buffer.from('ctrl'));
  await sink.write(table, 0, Buffer.from('abc'));
  for (const file of [control, table, empty]) await sink.done(file);
  await close();
  expect((await readdir(join(root, 'global'))).toSorted()).toEqual(
    ['1262', '6000', CONTROL_PENDING.slice(7)].toSorted(),
  );
  expect(await readFile(join(root, 'global/1262'), 'utf8')).toBe('abcdef');
  expect((await lstat(join(root, 'global/1262'))).mode & 0o777).toBe(0o600);
});

it('puts members of a tablespace into its directory, though the link comes later', async () => {
  const data = join(root, 'data');
  const space = join(root, 'space');
  const { sink } = createFileWriter(data, new Map([[16400, space]]), false);
  await sink.entry(entry(0, 'pg_tblspc/16400/PG_18_202506291', 'directory'));
  const file = entry(1, 'pg_tblspc/16400/PG_18_202506291/5', 'file', 1);
  await sink.write(file, 0, Buffer.from('x'));
  await sink.done(file);
  await sink.entry(entry(2, 'pg_tblspc/16400', 'symlink'));
  expect(await readlink(join(data, 'pg_tblspc/16400'))).toBe(space);
  expect(await readFile(join(data, 'pg_tblspc/16400/PG_18_202506291/5'), 'utf8')).toBe('x');
});

it('refuses a link that is no tablespace of the backup', async () => {
  const { sink } = createFileWriter(root, new Map(), false);
  for (const path of ['pg_tblspc/1', 'base', 'pg_wal'])
    await expect(sink.entry(entry(0, path, 'symlink'))).rejects.toSatisfy((error) => hasCode(error, 'CORRUPT'));
});

it.each(['../x', '/etc/passwd', 'a/../../x', 'a/./b', '', 'a//b', 'a\0b'])('refuses the path %j', (path) => {
  expect(() => safeJoin('/srv/data', path)).toThrow(expect.toSatisfy((error: unknown) => hasCode(error, 'CORRUPT')));
});
