import { mkdtemp, open, readdir, readFile, readlink, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { OpenFiles } from './open-files.ts';

let root = '';
beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), 'keyframe-open-'));
});
afterEach(() => rm(root, { recursive: true, force: true }));

const pathOf = (ordinal: number): string => join(root, String(ordinal));

/** Files of this test that the process has open. */
async function openedHere(): Promise<number> {
  const names = await readdir('/proc/self/fd');
  const targets = await Promise.allSettled(names.map((name) => readlink(`/proc/self/fd/${name}`)));
  return targets.filter((each) => each.status === 'fulfilled' && each.value.startsWith(root)).length;
}

it.each([true, false])('has few files open, however many are begun (sync: %s)', async (sync) => {
  const files = new OpenFiles(sync, 10);
  const append = (ordinal: number, at: number, text: string): Promise<unknown> =>
    files.use(
      ordinal,
      (again) => open(pathOf(ordinal), again ? 'r+' : 'wx'),
      (handle) => handle.write(text, at),
    );
  for (let ordinal = 0; ordinal < 200; ordinal += 1) await append(ordinal, 0, 'ab');
  expect(await openedHere()).toBeLessThanOrEqual(10);
  await Promise.all(Array.from({ length: 200 }, (_, ordinal) => append(ordinal, 2, 'cd')));
  expect(await openedHere()).toBeLessThanOrEqual(10);
  expect(files.hasBegun(7)).toBe(true);
  for (let ordinal = 0; ordinal < 200; ordinal += 1) await files.complete(ordinal);
  expect(files.hasBegun(7)).toBe(false);
  const contents = await Promise.all(Array.from({ length: 200 }, (_, ordinal) => readFile(pathOf(ordinal), 'utf8')));
  expect(new Set(contents)).toEqual(new Set(['abcd']));
  expect(await openedHere()).toBe(0);
});

it('closes everything when it is given up, also what could not be opened', async () => {
  const files = new OpenFiles(false);
  for (const ordinal of [1, 2])
    await files.use(
      ordinal,
      () => open(pathOf(ordinal), 'wx'),
      async () => undefined,
    );
  const failed = files.use(
    3,
    () => open(join(root, 'missing', 'x')),
    async () => undefined,
  );
  await expect(failed).rejects.toMatchObject({ code: 'ENOENT' });
  await files.close();
  expect(await openedHere()).toBe(0);
});
