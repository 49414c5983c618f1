import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { findPassword, parsePasswordFile, readPasswordFile } from './password-file.ts';

const question = { host: 'db', port: 5432, database: 'shop', user: 'ann' };
const answer = (text: string, asked: Partial<typeof question> = {}): string | undefined =>
  findPassword(parsePasswordFile(text), { ...question, ...asked })?.reveal();

describe('parsePasswordFile', () => {
  it('takes the first line that fits', () => {
    expect(answer('db:5433:shop:ann:a\ndb:5432:shop:ann:b\n*:*:*:*:c\n')).toBe('b');
  });

  it('treats * as anything, but only alone', () => {
    expect(answer('*:*:*:*:x')).toBe('x');
    expect(answer('d*:*:*:*:x')).toBeUndefined();
  });

  it('takes escaped colons and backslashes as they are', () => {
    expect(answer(String.raw`\:\:1:5432:shop:a\\b:p\:w\\d`, { host: '::1', user: String.raw`a\b` })).toBe(
      String.raw`p:w\d`,
    );
  });

  it('ends the password at an unescaped colon', () => {
    expect(answer('*:*:*:*:one:two')).toBe('one');
  });

  it('passes over comments, empty lines and lines that are too short', () => {
    expect(answer('# *:*:*:*:no\n\n*:*:*:no\r\n*:*:*:*:yes\r\n')).toBe('yes');
  });

  it('never prints a password', () => {
    expect(JSON.stringify(parsePasswordFile('*:*:*:*:hidden'))).not.toContain('hidden');
  });
});

describe('readPasswordFile', () => {
  let directory = '';
  beforeAll(async () => {
    directory = await mkdtemp(join(tmpdir(), 'kf-pass-'));
  });
  afterAll(() => rm(directory, { recursive: true }));

  it('reads a file that only its owner can read', async () => {
    const path = join(directory, 'good');
    await writeFile(path, '*:*:*:*:x\n', { mode: 0o600 });
    const { entries, warning } = await readPasswordFile(path);
    expect(entries).toHaveLength(1);
    expect(warning).toBeUndefined();
  });

  it.each([0o640, 0o604])('ignores a file of mode %o with a warning', async (mode) => {
    const path = join(directory, `open-${mode}`);
    await writeFile(path, '*:*:*:*:x\n');
    await chmod(path, mode);
    const { entries, warning } = await readPasswordFile(path);
    expect(entries).toEqual([]);
    expect(warning).toContain('chmod 0600');
  });

  it('ignores what is no plain file with a warning', async () => {
    const path = join(directory, 'directory');
    await mkdir(path);
    const { entries, warning } = await readPasswordFile(path);
    expect(entries).toEqual([]);
    expect(warning).toContain('plain file');
  });

  it('takes an absent file for an empty one', async () => {
    expect(await readPasswordFile(join(directory, 'absent'))).toEqual({ entries: [] });
  });
});
