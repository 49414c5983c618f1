import { chmod, chown, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { adoptionOf, writeLike } from './adoption-id.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'keyframe-adoption-'));
  await writeFile(join(directory, 'like'), '');
});
afterEach(() => rm(directory, { recursive: true }));

it('keeps its id for a timeline, and has another for the next', async () => {
  const like = join(directory, 'like');
  const [one, same] = await Promise.all([adoptionOf(directory, 2, like), adoptionOf(directory, 2, like)]);
  expect(same).toBe(one);
  expect(await adoptionOf(directory, 2, like)).toBe(one);
  expect(await adoptionOf(directory, 3, like)).not.toBe(one);
  expect((await readdir(directory)).toSorted()).toEqual(['keyframe-adoption-2', 'keyframe-adoption-3', 'like']);
});

it('writes what the owner of the other file can read', async () => {
  const like = join(directory, 'like');
  await chmod(like, 0o640);
  const isRoot = process.geteuid?.() === 0;
  if (isRoot) await chown(like, 1234, 1235);
  const path = join(directory, 'written');
  await writeLike(like, path, 'text');
  const [theirs, ours] = [await stat(like), await stat(path)];
  expect([ours.uid, ours.gid, ours.mode]).toEqual([theirs.uid, theirs.gid, theirs.mode]);
  expect(await readFile(path, 'utf8')).toBe('text');
});
