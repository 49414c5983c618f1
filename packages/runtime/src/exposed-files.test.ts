import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { findExposed, holdsSecret } from './exposed-files.ts';
import { passwordsIn } from './redaction.ts';

let directory = '';
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'kf-exposed-'));
});
afterAll(() => rm(directory, { recursive: true }));

async function fileOf(mode: number): Promise<string> {
  const file = path.join(directory, mode.toString(8));
  await writeFile(file, 'secret');
  await chmod(file, mode);
  return file;
}

it('tells files that others may read or write, with the mode that would do', async () => {
  const isRoot = process.getuid?.() === 0;
  const open = [await fileOf(0o644), await fileOf(0o666), await fileOf(0o604), await fileOf(0o660)];
  const closed = [await fileOf(0o600), await fileOf(0o400), await fileOf(0o700)];
  const found = await findExposed([...open, ...open, ...closed, directory, path.join(directory, 'absent')]);
  expect(found.map(({ file, mode }) => [file, mode])).toEqual(
    open.toSorted().map((file) => [file, `0${path.basename(file)}`]),
  );
  expect(found.find(({ mode }) => mode === '0644')?.fix).toContain(
    `chmod ${isRoot ? '0640' : '0600'} ${directory}/644`,
  );
});

it('tells secrets in a config file from references to them', () => {
  const holds = (data: unknown): boolean => holdsSecret(data, passwordsIn);
  expect(holds({ encrypt: [{ use: 'passphrase', passphrase: 'correct horse battery' }] })).toBe(true);
  expect(holds({ source: { url: 'postgresql://me:hidden@db/postgres' } })).toBe(true);
  expect(holds({ signing: { key: '-----BEGIN PRIVATE KEY-----\n…' } })).toBe(true);
  expect(holds({ stores: [{ use: 's3', secretAccessKey: 'x' }] })).toBe(true);
  expect(holds({ encrypt: [{ use: 'passphrase', passphrase: '${file:/etc/keyframe/passphrase}', name: 'x' }] })).toBe(
    false,
  );
  expect(holds({ source: { url: 'postgresql://me@db/postgres' }, signing: { trusted: ['ed25519:AA'] } })).toBe(false);
});
