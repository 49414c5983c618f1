import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Redaction } from './redaction.ts';
import { type ResolvedSecrets, resolveSecrets } from './secrets.ts';

describe('secrets', () => {
  let directory = '';
  const redaction = new Redaction();
  const resolve = (data: unknown): Promise<ResolvedSecrets> =>
    resolveSecrets(data, { environment: { A: 'alpha', EMPTY: '' }, directory, redaction });

  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'kf-secrets-'));
    await writeFile(path.join(directory, 'key'), 's3cret\n');
    await writeFile(path.join(directory, 'none'), '\n');
  });
  afterAll(() => rm(directory, { recursive: true }));

  it('stand for whole strings and parts of them, at any depth', async () => {
    const { data, problems } = await resolve({ a: '${env:A}', b: [{ c: 'x-${env:A}-${file:key}' }], d: 5, e: null });
    expect(problems).toEqual([]);
    expect(data).toEqual({ a: 'alpha', b: [{ c: 'x-alpha-s3cret' }], d: 5, e: null });
  });

  it('are hidden from texts from then on', () => expect(redaction.apply('got s3cret')).toBe('got ***'));

  it('are told with the place when they cannot be had', async () => {
    const { problems } = await resolve({
      stores: [{ key: '${env:NOPE}' }, { key: '${env:EMPTY}' }, { key: '${file:/no/such}' }, { key: '${file:none}' }],
    });
    expect(problems.map(({ path: at, reason }) => [at.join('.'), reason])).toEqual([
      ['stores.0.key', 'the environment variable NOPE is not set'],
      ['stores.1.key', 'the environment variable EMPTY is empty'],
      ['stores.2.key', 'the secret file /no/such does not exist'],
      ['stores.3.key', `the secret file ${directory}/none is empty`],
    ]);
  });

  it('refuse a reference without a known source', async () => {
    const { problems } = await resolve(['${HOME}', '${vault:x}', '${env:}']);
    expect(problems).toHaveLength(3);
  });

  it('leave $${…} as text', async () => expect((await resolve('$${env:A}')).data).toBe('${env:A}'));

  it('leave a plugin object untouched', async () => {
    const plugin = { name: '${env:A}', create: () => ({}) };
    const { data } = await resolve({ use: plugin, key: '${env:A}' });
    expect(data).toEqual({ use: plugin, key: 'alpha' });
    expect((data as { use: unknown }).use).toBe(plugin);
  });
});
