import { chmod, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import type { Configuration } from './configuration.ts';
import { loadConfiguration } from './load-configuration.ts';
import { problemsOf } from './problems.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'kf-retention-'));
  await chmod(directory, 0o700);
});
afterEach(() => rm(directory, { recursive: true, force: true }));

async function load(vault: string, main = '{}'): Promise<Configuration> {
  const file = path.join(directory, 'keyframe.yaml');
  const stores = '[{ use: fs, directory: /srv/kf }]';
  await writeFile(file, `clusters: { main: ${main} }\nrepositories: { vault: { stores: ${stores}${vault} } }\n`);
  return loadConfiguration({
    configPath: file,
    cwd: directory,
    environment: {},
    pluginRoots: [new URL(import.meta.url)],
    conditions: ['@keyframe/source'],
  });
}

async function problems(vault: string): Promise<string[]> {
  const fault: unknown = await load(vault).catch((error: unknown) => error);
  return (problemsOf(fault) ?? []).map(({ path: at, reason }) => `${at}: ${reason}`);
}

it('a repository says what is kept, with a day of grace', async () => {
  const { repositories, clusters } = await load(', retention: { window: 35d, weekly: 8, yearly: 7 }');
  expect(repositories.get('vault')?.retention).toEqual({
    window: 35 * 86_400_000,
    weekly: 8,
    yearly: 7,
    grace: 86_400_000,
    wal: 'window',
  });
  expect(clusters.get('main')?.retention).toBeUndefined();
});

it('a cluster may say it for itself', async () => {
  const { clusters } = await load('', '{ retention: { count: 3, grace: 1h, wal: all } }');
  expect(clusters.get('main')?.retention).toEqual({ count: 3, grace: 3_600_000, wal: 'all' });
});

it('without it nothing is said', async () => {
  expect((await load('')).repositories.get('vault')?.retention).toBeUndefined();
});

it.each([
  ['{ window: 35 }', 'repositories.vault.retention.window: must be a duration with its unit, in text'],
  ['{ count: 0 }', 'repositories.vault.retention.count: must be at least 1'],
  ['{ daily: 1.5 }', 'repositories.vault.retention.daily: must be a whole number'],
  ['{ grace: 1h }', 'repositories.vault.retention: has no rule that keeps anything'],
  ['{ hourly: 3, count: 1 }', 'repositories.vault.retention.hourly: '],
  ['{ count: 1, wal: some }', 'repositories.vault.retention.wal: '],
])('%s is refused', async (retention, expected) => {
  expect(await problems(`, retention: ${retention}`)).toEqual([expect.stringContaining(expected)]);
});
