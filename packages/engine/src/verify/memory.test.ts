import { appendFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Checked, openMemory } from './memory.ts';

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kf-memory-'));
});
afterEach(() => rm(directory, { recursive: true }));

const fileIn = (): string => join(directory, 'of', 'a', 'repository.jsonl');
const checked = (atMs: number, root = 'r'): Checked => ({ root, sizeBytes: 7, level: 'content', atMs });

test('what was checked is known to the next run', async () => {
  const memory = await openMemory(fileIn());
  memory.set('a', checked(1));
  memory.set('a', checked(2, 's'));
  await memory.close(() => true);
  const next = await openMemory(fileIn());
  expect(next.get('a')).toEqual(checked(2, 's'));
  expect(next.get('b')).toBeUndefined();
});

test('what was written before a kill counts, and a line that it cut off does not', async () => {
  const memory = await openMemory(fileIn());
  for (let number = 0; number < 40; number += 1) memory.set(`k${number}`, checked(number));
  await memory.flush();
  // Never closed.
  await appendFile(fileIn(), '["k99","r",7,"con');
  const next = await openMemory(fileIn());
  expect([next.get('k0'), next.get('k39'), next.get('k99')]).toEqual([checked(0), checked(39), undefined]);
  next.set('after', checked(5));
  await next.close(() => true);
  const last = await openMemory(fileIn());
  expect([last.get('after'), last.get('k39')]).toEqual([checked(5), checked(39)]);
});

test('what is forgotten is not known to the next run, and which copy was read is', async () => {
  const memory = await openMemory(fileIn());
  memory.set('a', checked(1));
  memory.set('b', { ...checked(2), level: 'hashes', stamp: 77 });
  memory.forget('a');
  memory.forget('never');
  expect(memory.get('a')).toBeUndefined();
  await memory.close(() => true);
  const next = await openMemory(fileIn());
  expect([next.get('a'), next.get('b')]).toEqual([undefined, { ...checked(2), level: 'hashes', stamp: 77 }]);
});

test('lines of another form are forgotten', async () => {
  const memory = await openMemory(fileIn());
  memory.set('a', checked(1));
  await memory.flush();
  await appendFile(fileIn(), 'null\n{}\n["b","r",7,"whole",1]\n["c","r","7","content",1]\n');
  const next = await openMemory(fileIn());
  expect([next.get('a'), next.get('b'), next.get('c')]).toEqual([checked(1), undefined, undefined]);
});

test('the file is rewritten without what is superseded or gone, once there is much of it', async () => {
  const memory = await openMemory(fileIn());
  for (let round = 0; round < 1200; round += 1) memory.set('often', checked(round));
  memory.set('gone', checked(1));
  await memory.close((key) => key === 'often');
  expect((await readFile(fileIn(), 'utf8')).trim().split('\n')).toHaveLength(1);
  const next = await openMemory(fileIn());
  expect([next.get('often'), next.get('gone')]).toEqual([checked(1199), undefined]);
});
