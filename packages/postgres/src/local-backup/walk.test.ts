import { chmod, mkdir, mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { crc32c } from '@keyframe/wal';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { openLocalFile } from './local-file.ts';
import type { LocalEntry } from './types.ts';
import { type DataDirectory, walkDataDirectory } from './walk.ts';

let root = '';

beforeEach(async () => {
  root = await mkdtemp(path.join(tmpdir(), 'kf-walk-'));
  for (const directory of ['base/5', 'global', 'pg_tblspc', 'pg_wal'])
    await mkdir(path.join(root, directory), { recursive: true });
  await writeFile(path.join(root, 'global/pg_control'), controlFile());
});
afterEach(async () => {
  await rm(root, { recursive: true });
});

/** A control file of PostgreSQL 17 that says little, its CRC right. */
function controlFile(): Buffer {
  const bytes = Buffer.alloc(8192);
  bytes.writeUInt32LE(1700, 8);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 288)) >>> 0, 288);
  return bytes;
}

async function walk(place: Partial<DataDirectory> = {}): Promise<readonly LocalEntry[]> {
  const defaults = { root, major: 17, catalogVersion: 202_406_281, tablespaces: [], statsDirectory: undefined };
  return Array.fromAsync(walkDataDirectory({ ...defaults, ...place }, {}));
}

const pathsOf = (entries: readonly LocalEntry[]): readonly string[] => entries.map((entry) => entry.path);

describe('the walk through a data directory', () => {
  it('ends with the control file', async () => {
    expect(pathsOf(await walk())).toEqual([
      'base',
      'base/5',
      'global',
      'pg_tblspc',
      'pg_wal',
      'pg_wal/archive_status',
      'pg_wal/summaries',
      'global/pg_control',
    ]);
  });

  it('makes a plain directory of pg_wal on a volume of its own, and of whatever else is emptied', async () => {
    await rm(path.join(root, 'pg_wal'), { recursive: true });
    await symlink('/nonexistent', path.join(root, 'pg_wal'));
    await symlink('/nonexistent', path.join(root, 'pg_notify'));
    await mkdir(path.join(root, 'stats/below'), { recursive: true, mode: 0o700 });
    await chmod(root, 0o750);
    const entries = await walk({ major: 14, statsDirectory: 'stats' });
    const emptied = entries.filter((entry) => /^(?:pg_wal|pg_notify|stats)/.test(entry.path));
    expect(emptied.map(({ path: member, type, mode }) => [member, type, mode])).toEqual([
      ['pg_notify', 'directory', 0o750],
      ['pg_wal', 'directory', 0o750],
      ['pg_wal/archive_status', 'directory', 0o750],
      ['stats', 'directory', 0o700],
    ]);
  });

  it('takes of a tablespace only what is of this cluster', async () => {
    const space = path.join(root, '..', `${path.basename(root)}-space`);
    for (const name of ['PG_17_202406281/5', 'PG_16_202307071/5'])
      await mkdir(path.join(space, name), { recursive: true });
    await symlink(space, path.join(root, 'pg_tblspc/16400'));
    await symlink('/nonexistent', path.join(root, 'pg_tblspc/16401'));
    const tablespaces = [{ oid: 16_400, location: space }];
    const entries = pathsOf(await walk({ tablespaces })).filter((member) => member.startsWith('pg_tblspc'));
    const below = 'pg_tblspc/16400/PG_17_202406281';
    expect(entries).toEqual([below, `${below}/5`, 'pg_tblspc', 'pg_tblspc/16400']);
    await rm(space, { recursive: true });
    await expect(walk({ tablespaces })).rejects.toMatchObject({ code: 'NOT_FOUND' });
    await rm(path.join(root, 'pg_tblspc/16400'));
    expect(pathsOf(await walk({ tablespaces }))).not.toContain('pg_tblspc/16400');
  });

  it('passes over a tablespace that lies within the data directory', async () => {
    await mkdir(path.join(root, 'mine/PG_17_202406281'), { recursive: true });
    await symlink(path.join(root, 'mine'), path.join(root, 'pg_tblspc/16400'));
    const tablespaces = [{ oid: 16_400, location: path.join(root, 'mine') }];
    const entries = pathsOf(await walk({ tablespaces }));
    expect(entries.filter((member) => member.includes('PG_17'))).toEqual(['pg_tblspc/16400/PG_17_202406281']);
    expect(entries).toContain('mine');
  });

  it.each([['global/pg_control'], ['base'], ['global']])('fails without %s', async (member) => {
    await rm(path.join(root, member), { recursive: true });
    await expect(walk()).rejects.toMatchObject({ code: 'NOT_FOUND' });
  });

  it('refuses a file name that it could not write down', async () => {
    await writeFile(Buffer.concat([Buffer.from(`${root}/base/`), Buffer.of(0xff, 0xfe)]), 'x');
    await expect(walk()).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  it('ends with its signal', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    const defaults = { root, major: 17, catalogVersion: 1, tablespaces: [], statsDirectory: undefined };
    await expect(Array.fromAsync(walkDataDirectory(defaults, { signal }))).rejects.toThrow('enough');
  });
});

describe('the control file', () => {
  const control = async (): Promise<LocalEntry> => {
    const entry = (await walk()).at(-1);
    if (entry === undefined) throw new Error('the walk found nothing');
    return entry;
  };

  it('is read again while it is torn', async () => {
    const entry = await control();
    const torn = controlFile();
    torn[40] = 1;
    await writeFile(entry.source ?? '', torn);
    const opening = openLocalFile(entry);
    setTimeout(() => void writeFile(entry.source ?? '', controlFile()), 50);
    await using file = await opening;
    const content = Buffer.alloc(10_000);
    expect(await file?.read(content, 0)).toBe(8192);
    expect(content.subarray(0, 8192)).toEqual(controlFile());
  });

  it('is refused when it stays so', async () => {
    const entry = await control();
    const torn = controlFile();
    torn[40] = 1;
    await writeFile(entry.source ?? '', torn);
    await expect(openLocalFile(entry)).rejects.toMatchObject({ code: 'CORRUPT' });
  });
});

describe('a local file', () => {
  it('is no link, and no directory', async () => {
    await writeFile(path.join(root, 'base/5/1'), 'x');
    const entries = await walk();
    const entry = entries.find((each) => each.path === 'base/5/1');
    const directory = entries.find((each) => each.path === 'base/5');
    if (entry === undefined || directory === undefined) throw new Error('the walk found nothing');
    await rm(entry.source ?? '');
    await symlink('/etc/hosts', entry.source ?? '');
    await expect(openLocalFile(entry)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await expect(openLocalFile(directory)).rejects.toMatchObject({ code: 'INVALID_OPTION' });
  });
});
