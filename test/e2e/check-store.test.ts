import { mkdir, mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Ended, faultOf, spawnKeyframe } from './support/keyframe.ts';
import { eventually } from './support/servers.ts';

/** A store over a map, that overwrites what it says it would not. */
const LIAR = `
const kept = new Map();
const info = (key) => kept.has(key) ? { key, sizeBytes: kept.get(key).length, modifiedAt: new Date() } : undefined;
export default {
  kind: 'store', name: 'liar', contract: 1,
  options: { '~standard': { version: 1, vendor: 'test', validate: () => ({ value: {} }) } },
  create: () => ({
    capabilities: { conditionalPut: true, rangeRead: true, strongConsistency: true },
    async put(key, source, { signal } = {}) {
      const chunks = [];
      const gathered = (async () => {
        for await (const chunk of source.open()) chunks.push(Buffer.from(chunk));
      })();
      const aborted = new Promise((_, reject) => signal?.addEventListener('abort', () => reject(signal.reason)));
      await Promise.race([gathered, aborted]);
      kept.set(key, Buffer.concat(chunks));
      return info(key);
    },
    async get(key, { range = { start: 0 } } = {}) {
      return (async function* () { yield kept.get(key).subarray(range.start, range.end); })();
    },
    stat: async (key) => info(key),
    async *list(prefix) { for (const key of [...kept.keys()]) if (key.startsWith(prefix)) yield info(key); },
    async delete(keys) { for (const key of keys) kept.delete(key); },
  }),
};
`;

describe('check store', () => {
  let home: string;
  let store: string;
  const check = (words: readonly string[]): ReturnType<typeof spawnKeyframe> =>
    spawnKeyframe(['--config', join(home, 'keyframe.yaml'), '--json', 'check', 'store', ...words]);
  const verdictOf = ({ stdout }: Ended): string => (JSON.parse(stdout) as { verdict: string }).verdict;
  /** Names below the store, the adapter's own place left out. */
  const left = async (): Promise<string[]> => (await readdir(store)).filter((name) => !name.startsWith('.'));

  beforeAll(async () => {
    home = await mkdtemp(join(tmpdir(), 'kf-check-'));
    store = join(home, 'store');
    await mkdir(store);
    await writeFile(join(home, 'liar.mjs'), LIAR);
    const stores = [`{ use: fs, directory: ${JSON.stringify(store)} }`, '{ use: ./liar.mjs, name: liar }'];
    const lines = [
      'repositories:',
      ...stores.map((slot, index) => `  vault${index + 1}: { stores: [${slot}] }`),
      'clusters:',
      '  main: { source: { url: postgres://localhost/x }, repository: vault1 }',
    ];
    await writeFile(join(home, 'keyframe.yaml'), `${lines.join('\n')}\n`);
  });
  afterAll(() => rm(home, { recursive: true, force: true }));

  test('finds a directory good, and leaves nothing in it', async () => {
    const ended = await check(['fs']).ended;
    expect([ended.status, verdictOf(ended)]).toEqual([0, 'good']);
    expect(await left()).toEqual([]);
  });

  test('leaves nothing when it is interrupted', async () => {
    const running = check(['fs', '--prefix', 'mine']);
    await eventually(async () => expect(await left()).toEqual(['mine']));
    running.child.kill('SIGINT');
    expect((await running.ended).status).toBe(130);
    expect(await left()).toEqual([]);
  });

  test('ends with 4 where a store does not do what it says', async () => {
    const ended = await check(['liar']).ended;
    expect([ended.status, verdictOf(ended)]).toEqual([4, 'broken']);
    const { facts } = JSON.parse(ended.stdout) as { facts: readonly { id: string; verdict: string }[] };
    expect(facts.find(({ id }) => id === 'conditional-put')?.verdict).toBe('wrong');
  });

  test('names the stores there are when it is asked for another', async () => {
    const fault = faultOf(await check(['nope']).ended, 'check store');
    expect([fault.code, fault.status]).toEqual(['INVALID_OPTION', 2]);
    expect(fault.hint).toContain('liar (vault2)');
  });
});
