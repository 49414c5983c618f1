import { chmod, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Store } from '@keyframe/contracts';
import { bytesOf, drain, textOf } from '@keyframe/contracts/streams';
import { testHost } from '@keyframe/testkit';
import { mountSmall, needs } from '@keyframe/testkit/postgres';
import { expect, test } from 'vitest';
import plugin from '../src/index.ts';

const open = (directory: string): Store =>
  plugin.create({ directory, fileMode: 0o640, directoryMode: 0o750 }, testHost());
const keys = (store: Store): Promise<string[]> => Array.fromAsync(store.list(''), ({ key }) => key);

test('a full disk is UNAVAILABLE, leaves nothing, and is over once there is room', async (context) => {
  await needs(context, 'tmpfs');
  await using disk = await mountSmall(1024);
  const store = open(join(disk.directory, 'store'));
  await store.put('small', textOf('kept'));
  const large = bytesOf(...Array.from({ length: 8 }, () => Buffer.alloc(256 * 1024, 'x')));
  for (const ifAbsent of [true, false]) {
    await expect(store.put('large', large, { ifAbsent })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      message: expect.stringContaining("the store's disk is full"),
      hint: expect.stringContaining(`df -h ${disk.directory}`),
      details: { system: 'ENOSPC', key: 'large' },
    });
  }
  expect(await keys(store)).toEqual(['small']);
  expect(await readdir(join(disk.directory, 'store/.keyframe-staging'))).toEqual([]);
  expect((await drain(await store.get('small'))).toString()).toBe('kept');
  await disk.resize(8192);
  await store.put('large', large);
  expect(await keys(store)).toEqual(['large', 'small']);
});

test('a disk without room for a directory or name is UNAVAILABLE', async (context) => {
  await needs(context, 'tmpfs');
  await using disk = await mountSmall(16);
  const store = open(disk.directory);
  await store.put('a', textOf('x'));
  await expect(store.put('b', bytesOf(Buffer.alloc(64 * 1024)))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  expect(await keys(store)).toEqual(['a']);
});

test('a read-only file system is ACCESS_DENIED for writers and serves readers', async (context) => {
  await needs(context, 'tmpfs');
  await using disk = await mountSmall(1024);
  const store = open(disk.directory);
  await store.put('a', textOf('x'));
  await disk.remount('ro');
  const denied = { code: 'ACCESS_DENIED', hint: expect.stringContaining('remount,rw'), details: { system: 'EROFS' } };
  await expect(store.put('a', textOf('y'))).rejects.toMatchObject(denied);
  await expect(store.put('b/c', textOf('y'), { ifAbsent: true })).rejects.toMatchObject(denied);
  await expect(store.delete(['a'])).rejects.toMatchObject(denied);
  await expect(open(disk.directory).put('a', textOf('y'))).rejects.toMatchObject(denied);
  expect((await drain(await store.get('a'))).toString()).toBe('x');
  await disk.remount('rw');
  await store.put('a', textOf('y'));
});

test('an unmounted file system is UNAVAILABLE, never empty', async (context) => {
  await needs(context, 'tmpfs');
  await using disk = await mountSmall(1024);
  const store = open(disk.directory);
  await store.put('a', textOf('x'));
  await disk.unmount();
  const gone = { code: 'UNAVAILABLE', hint: expect.stringContaining('findmnt') };
  await expect(store.stat('a')).rejects.toMatchObject(gone);
  await expect(store.get('a')).rejects.toMatchObject(gone);
  await expect(store.put('a', textOf('y'), { ifAbsent: true })).rejects.toMatchObject(gone);
  await expect(store.delete(['a'])).rejects.toMatchObject(gone);
  await expect(keys(store)).rejects.toMatchObject(gone);
  expect(await readdir(disk.directory)).toEqual([]);
});

test('a directory of another user is ACCESS_DENIED, with owner, mode and our uid', async () => {
  const directory = await mkdtemp(join(tmpdir(), 'kf-denied-'));
  const root = process.geteuid?.() === 0;
  try {
    const store = open(directory);
    await store.put('a/b', textOf('x'));
    await chmod(directory, 0o100);
    await chmod(join(directory, 'a'), root ? 0o700 : 0);
    await chmod(directory, root ? 0o755 : 0o500);
    if (root) process.seteuid?.(65_534);
    const facts = new RegExp(`chown or chmod \\(owner \\d+:\\d+, mode 0\\d{3}, we are uid ${process.geteuid?.()}\\)`);
    const denied = { code: 'ACCESS_DENIED', hint: expect.stringMatching(facts), details: { system: 'EACCES' } };
    await expect(store.get('a/b')).rejects.toMatchObject(denied);
    await expect(store.stat('a/b')).rejects.toMatchObject(denied);
    await expect(store.put('a/c', textOf('y'))).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await expect(store.delete(['a/b'])).rejects.toMatchObject(denied);
    await expect(Array.fromAsync(store.list('a/'))).rejects.toMatchObject(denied);
  } finally {
    if (root) process.seteuid?.(0);
    await chmod(directory, 0o755);
    await chmod(join(directory, 'a'), 0o755);
    await rm(directory, { recursive: true });
  }
});
