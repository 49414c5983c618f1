import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type ErrorCode, isKeyframeError } from '@keyframe/contracts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { thisProcess } from '../backup/holder.ts';
import { assertClaimed, newClaim, RESTORE_MARKER, writeClaim } from './restore-claim.ts';
import { checkTablespaceDirectory } from './tablespace-directory.ts';
import { checkTarget, prepareTarget as prepare, type TargetRequest } from './target-directory.ts';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'keyframe-target-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const request = (name: string, force = false, neededBytes = 0) => ({ directory: join(root, name), force, neededBytes });
const codeOf = async (action: Promise<unknown>): Promise<ErrorCode | undefined> =>
  action.then(
    () => undefined,
    (error: unknown) => (isKeyframeError(error) ? error.code : undefined),
  );
const prepareTarget = async (wanted: TargetRequest): Promise<void> => prepare(wanted, await newClaim());
async function dataDirectory(name: string): Promise<string> {
  await mkdir(join(root, name, 'global'), { recursive: true });
  await writeFile(join(root, name, 'PG_VERSION'), '17\n');
  return join(root, name);
}

describe('prepareTarget', () => {
  it('creates the directory, private, with the marker', async () => {
    await prepareTarget(request('new/data'));
    expect(await readdir(join(root, 'new/data'))).toEqual([RESTORE_MARKER]);
  });

  it('makes an empty directory private, else PostgreSQL would not start there', async () => {
    await mkdir(join(root, 'open'), { mode: 0o755 });
    await prepareTarget(request('open'));
    expect((await stat(join(root, 'open'))).mode & 0o777).toBe(0o700);
  });

  it('refuses a directory that holds anything, and leaves it as it is', async () => {
    await mkdir(join(root, 'home'));
    await writeFile(join(root, 'home/letter'), 'x');
    expect(await codeOf(prepareTarget(request('home')))).toBe('TARGET_DIRECTORY');
    expect(await codeOf(prepareTarget(request('home', true)))).toBe('TARGET_DIRECTORY');
    expect(await readdir(join(root, 'home'))).toEqual(['letter']);
  });

  it('empties an old data directory only with force, and follows no link out of it', async () => {
    const directory = await dataDirectory('old');
    await mkdir(join(root, 'elsewhere'));
    await writeFile(join(root, 'elsewhere/kept'), 'x');
    await symlink(join(root, 'elsewhere'), join(directory, 'pg_wal'));
    expect(await codeOf(prepareTarget(request('old')))).toBe('TARGET_DIRECTORY');
    await prepareTarget(request('old', true));
    expect(await readdir(directory)).toEqual([RESTORE_MARKER]);
    expect(await readdir(join(root, 'elsewhere'))).toEqual(['kept']);
  });

  it('never deletes WAL that exists nowhere else, with force neither', async () => {
    const directory = await dataDirectory('crashed');
    const status = join(directory, 'pg_wal/archive_status');
    await mkdir(status, { recursive: true });
    for (const mark of ['000000010000000000000004.done', '000000010000000000000005.ready'])
      await writeFile(join(status, mark), '');
    await expect(prepareTarget(request('crashed', true))).rejects.toThrow('first 000000010000000000000005');
    expect(await readdir(directory)).toContain('PG_VERSION');
    await rm(join(status, '000000010000000000000005.ready'));
    await prepareTarget(request('crashed', true));
    expect(await readdir(directory)).toEqual([RESTORE_MARKER]);
  });

  it('never empties the directory of a running server', async () => {
    const directory = await dataDirectory('live');
    // A postmaster is known by a living process that works in its data directory.
    const postmaster = spawn('sleep', ['60'], { cwd: directory });
    await once(postmaster, 'spawn');
    await writeFile(join(directory, 'postmaster.pid'), `${postmaster.pid}\n${directory}\n0\n5432\n/tmp\n\n\n`);
    expect(await codeOf(prepareTarget(request('live', true)))).toBe('TARGET_DIRECTORY');
    expect(await readdir(directory)).toContain('PG_VERSION');
    postmaster.kill();
    await once(postmaster, 'exit');
    await prepareTarget(request('live', true));
    expect(await readdir(directory)).toEqual([RESTORE_MARKER]);
  });

  it('takes up a directory that an interrupted restore left', async () => {
    const directory = await dataDirectory('half');
    await writeFile(join(directory, RESTORE_MARKER), '');
    await prepareTarget(request('half'));
    expect(await readdir(directory)).toEqual([RESTORE_MARKER]);
  });

  it('never touches a directory that another process is restoring into', async () => {
    const directory = await dataDirectory('busy');
    const other = spawn('sleep', ['60']);
    await once(other, 'spawn');
    const line = await readFile(`/proc/${other.pid}/stat`, 'utf8');
    const processStart = line.slice(line.lastIndexOf(')') + 2).split(' ')[19] ?? '';
    const holder = { ...(await thisProcess('keyframe restore')), pid: other.pid ?? 0, processStart };
    await writeClaim(directory, { ...holder, token: 'x' });
    expect(await codeOf(prepareTarget(request('busy')))).toBe('TARGET_DIRECTORY');
    expect(await codeOf(prepareTarget(request('busy', true)))).toBe('TARGET_DIRECTORY');
    expect(await readdir(directory)).toContain('PG_VERSION');
    other.kill();
    await once(other, 'exit');
    await prepareTarget(request('busy'));
    expect(await readdir(directory)).toEqual([RESTORE_MARKER]);
  });

  it('notices that a restore from elsewhere has taken the directory', async () => {
    const mine = await newClaim();
    await prepare(request('shared'), mine);
    await assertClaimed(join(root, 'shared'), mine);
    await prepareTarget(request('shared'));
    expect(await codeOf(assertClaimed(join(root, 'shared'), mine))).toBe('TARGET_DIRECTORY');
    await rm(join(root, 'shared'), { recursive: true });
    expect(await codeOf(assertClaimed(join(root, 'shared'), mine))).toBe('TARGET_DIRECTORY');
  });

  it('never grows into a data directory or a repository', async () => {
    const directory = await dataDirectory('origin');
    await mkdir(join(root, 'vault/clusters'), { recursive: true });
    await writeFile(join(root, 'vault/keyframe.json'), '{}');
    await symlink(directory, join(root, 'link'));
    for (const name of ['origin/base/restored', 'link/restored', 'vault/restored'])
      await expect(prepareTarget(request(name))).rejects.toMatchObject({
        code: 'TARGET_DIRECTORY',
        message: expect.stringMatching(/lies inside the (?:data directory|repository) /),
      });
    expect(await readdir(directory)).toEqual(['PG_VERSION', 'global']);
  });

  it('says that a file is in the way', async () => {
    await writeFile(join(root, 'file'), '');
    await expect(prepareTarget(request('file'))).rejects.toThrow('is no directory');
  });

  it('refuses before it touches anything when the files will not fit', async () => {
    expect(await codeOf(prepareTarget(request('small', false, 2 ** 60)))).toBe('DISK_FULL');
    expect(await readdir(root)).toEqual([]);
  });

  it('refuses a relative path and the root', async () => {
    expect(await codeOf(checkTarget({ directory: 'data', force: false, neededBytes: 0 }))).toBe('INVALID_OPTION');
    expect(await codeOf(checkTarget({ directory: '/', force: true, neededBytes: 0 }))).toBe('INVALID_OPTION');
  });
});

it('a tablespace directory in use is refused', async () => {
  await mkdir(join(root, 'ts'));
  await writeFile(join(root, 'ts/PG_17_202406281'), '');
  const target = { oid: 16_400, directory: join(root, 'ts'), isOwn: false };
  expect(await codeOf(checkTablespaceDirectory(target))).toBe('TARGET_DIRECTORY');
  expect(await codeOf(checkTablespaceDirectory({ ...target, isOwn: true }))).toBeUndefined();
  expect(await codeOf(checkTablespaceDirectory({ ...target, directory: join(root, 'absent') }))).toBeUndefined();
});

it('a tablespace directory that is another cluster’s too is not taken up', async () => {
  for (const name of ['PG_17_202406281', 'PG_18_202506291', RESTORE_MARKER]) {
    await mkdir(join(root, 'ts', name), { recursive: true });
    const target = { oid: 16_400, directory: join(root, 'ts'), isOwn: true, postgresVersion: 170_006 };
    const refused = name.startsWith('PG_18') || name === RESTORE_MARKER;
    expect(await codeOf(checkTablespaceDirectory(target))).toBe(refused ? 'TARGET_DIRECTORY' : undefined);
  }
});
