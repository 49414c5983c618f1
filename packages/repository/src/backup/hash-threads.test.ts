import { randomBytes } from 'node:crypto';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { contentHash } from '../format/content-hash.ts';
import type { HashedRanges } from './hash-thread.ts';
import { HashThreads } from './hash-threads.ts';

const KEY = randomBytes(32);
const CONTENT = randomBytes(700_000);
let root = '';
let threads: HashThreads | undefined;
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'keyframe-hash-'));
  await writeFile(join(root, 'table'), CONTENT);
  threads = await HashThreads.start(KEY);
});
afterEach(async () => {
  await threads?.close();
  await rm(root, { recursive: true, force: true });
});

const rangesOf = (name: string, ...ranges: readonly (readonly [offset: number, size: number])[]): HashedRanges => ({
  path: join(root, name),
  offsets: ranges.map(([offset]) => offset),
  sizes: ranges.map(([, size]) => size),
  hashes: ranges.map(([offset, size]) => contentHash(KEY, CONTENT.subarray(offset, offset + size))),
});

it('tells range by range what a file holds, also beside a file that ends early', async () => {
  const changed = Buffer.from(CONTENT.subarray(0, 300_000));
  changed.writeUInt8(changed.readUInt8(150_000) ^ 1, 150_000);
  await writeFile(join(root, 'changed'), changed);
  const ranges = [
    [0, 100_000],
    [100_000, 100_000],
    [200_000, 100_000],
    [299_000, 2000],
  ] as const;
  const held = await threads?.compare([rangesOf('table', [0, 700_000], [5, 8192]), rangesOf('changed', ...ranges)]);
  expect([...(held ?? [])]).toEqual([1, 1, 1, 0, 1, 0]);
});

it('passes the fault of a file on with its code, and goes on', async () => {
  await symlink(join(root, 'table'), join(root, 'link'));
  await expect(threads?.compare([rangesOf('absent', [0, 1])])).rejects.toMatchObject({
    code: 'ENOENT',
    syscall: 'open',
  });
  await expect(threads?.compare([rangesOf('link', [0, 1])])).rejects.toMatchObject({ code: 'ELOOP' });
  expect(await threads?.compare([rangesOf('table', [0, 10])])).toEqual(Uint8Array.of(1));
});

it('leaves nobody waiting when it is closed', async () => {
  const many = Array.from({ length: 200 }, () => rangesOf('table', [0, 700_000]));
  const under = Promise.allSettled([threads?.compare(many)]);
  await threads?.close();
  expect(await under).toMatchObject([{ status: 'rejected' }]);
  await expect(threads?.compare(many)).rejects.toThrow('ended');
});
