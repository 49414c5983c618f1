import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Log } from '@keyframe/contracts';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { headsIn } from './heads.ts';

let directory: string;
const warnings: string[] = [];
const log: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: (message) => void warnings.push(message),
};

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kf-heads-'));
  warnings.length = 0;
});
afterEach(() => rm(directory, { recursive: true }));

const head = { number: 7, sha256: 'ab'.repeat(32) };

test('a head is remembered per chain, and replaced by a later one', async () => {
  const heads = headsIn(directory, log);
  expect(await heads.get('r/main/1')).toBeUndefined();
  await heads.set('r/main/1', { ...head, number: 6 });
  await heads.set('r/main/1', head);
  expect(await headsIn(directory, log).get('r/main/1')).toEqual(head);
  expect(await heads.get('r/main/2')).toBeUndefined();
  expect(warnings).toEqual([]);
});

test('a file that is no head is told and not used', async () => {
  const heads = headsIn(directory, log);
  await heads.set('r/main/1', head);
  const file = join(directory, 'heads', 'r', 'main', '1');
  await writeFile(file, (await readFile(file, 'utf8')).slice(0, 20));
  expect(await heads.get('r/main/1')).toBeUndefined();
  expect(warnings).toEqual([expect.stringContaining(file)]);
});

test('a directory that cannot be written to is told, and stops nothing', async () => {
  await writeFile(join(directory, 'heads'), 'a file');
  await chmod(join(directory, 'heads'), 0o600);
  const heads = headsIn(directory, log);
  await heads.set('r/main/1', head);
  expect(await heads.get('r/main/1')).toBeUndefined();
  expect(warnings.join('\n')).toMatch(/cannot be remembered[^]*`state` in the config file/);
});
