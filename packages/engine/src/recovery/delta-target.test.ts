import { mkdir, mkdtemp, readdir, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { crc32c } from '@keyframe/wal';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { newClaim, RESTORE_MARKER } from './restore-claim.ts';
import { isTablespaceOf } from './tablespace-directory.ts';
import { prepareTarget } from './target-directory.ts';

const OURS = '7391872364987123641';
let data = '';
beforeEach(async () => {
  data = await mkdtemp(join(tmpdir(), 'keyframe-delta-'));
  await mkdir(join(data, 'global'));
  await writeFile(join(data, 'PG_VERSION'), '17\n');
  await writeFile(join(data, 'base'), 'kept');
});
afterEach(() => rm(data, { recursive: true, force: true }));

/** As much of a control file as says whose it is. */
function controlFile(systemIdentifier: string): Buffer {
  const bytes = Buffer.alloc(8192);
  bytes.writeBigUInt64LE(BigInt(systemIdentifier), 0);
  bytes.writeUInt32LE(1700, 8);
  bytes.writeUInt32LE(202406281, 12);
  bytes.writeUInt32LE(1, 16);
  bytes.writeUInt32LE(crc32c(bytes.subarray(0, 288)) >>> 0, 288);
  return bytes;
}

const prepare = async (): Promise<void> =>
  prepareTarget({ directory: data, force: false, reuse: { systemIdentifier: OURS }, neededBytes: 0 }, await newClaim());

it('takes up a data directory of the same cluster, without the file that would start it', async () => {
  await writeFile(join(data, 'global/pg_control'), controlFile(OURS));
  await prepare();
  expect((await readdir(data)).toSorted()).toEqual([RESTORE_MARKER, 'PG_VERSION', 'base', 'global']);
  expect(await readdir(join(data, 'global'))).toEqual([]);
  await prepare(); // as after a death on the way
});

it('refuses the data directory of another cluster, and leaves it as it is', async () => {
  await writeFile(join(data, 'global/pg_control'), controlFile('7391872364987123642'));
  await expect(prepare()).rejects.toMatchObject({
    code: 'TARGET_DIRECTORY',
    details: { found: '7391872364987123642' },
  });
  expect(await readdir(join(data, 'global'))).toEqual(['pg_control']);
});

it('refuses a directory that does not tell whose it is', async () => {
  await expect(prepare()).rejects.toThrow('does not tell whose');
  await writeFile(join(data, 'global/pg_control'), controlFile(OURS).fill(1, 100, 101));
  await expect(prepare()).rejects.toThrow('does not tell whose');
  await rm(join(data, 'PG_VERSION'));
  await expect(prepare()).rejects.toThrow('is not empty');
  expect(await readdir(join(data, 'global'))).toEqual(['pg_control']);
});

it('refuses while pg_wal holds what was never archived', async () => {
  await writeFile(join(data, 'global/pg_control'), controlFile(OURS));
  await mkdir(join(data, 'pg_wal/archive_status'), { recursive: true });
  await writeFile(join(data, 'pg_wal/archive_status/000000010000000000000005.ready'), '');
  await expect(prepare()).rejects.toMatchObject({ code: 'TARGET_DIRECTORY', details: { waiting: 1 } });
});

it('knows a tablespace of the old directory by where its link leads', async () => {
  await mkdir(join(data, 'space'));
  await mkdir(join(data, 'pg_tblspc'));
  await symlink(join(data, 'space'), join(data, 'pg_tblspc/16400'));
  expect(await isTablespaceOf(data, 16_400, join(data, 'space'))).toBe(true);
  expect(await isTablespaceOf(data, 16_400, join(data, 'global'))).toBe(false);
  expect(await isTablespaceOf(data, 16_401, join(data, 'space'))).toBe(false);
});
