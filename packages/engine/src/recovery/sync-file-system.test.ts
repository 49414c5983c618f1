import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { fileSystemSync } from './sync-file-system.ts';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'keyframe-sync-'));
  await writeFile(join(root, 'file'), 'x');
});
afterEach(() => rm(root, { recursive: true, force: true }));

it.each(['4.4.0', '5.7.19-generic', '', 'unknown'])('trusts no kernel that swallows faults: %s', async (kernel) => {
  expect(await fileSystemSync(join(root, 'file'), kernel)).toBeUndefined();
});

it('trusts no file system that it does not know', async () => {
  expect(await fileSystemSync('/proc/self/status', '6.18.44')).toBeUndefined();
});

it('syncs the file system of a file, and says when it could not', async (context) => {
  const sync = await fileSystemSync(join(root, 'file'));
  if (sync === undefined) context.skip('neither ext4 nor XFS, or no coreutils');
  await sync?.(join(root, 'file'));
  await expect(sync?.(join(root, 'absent'))).rejects.toMatchObject({ code: 'TARGET_DIRECTORY' });
});
