import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { hasCode, type Log } from '@keyframe/contracts';
import { drain, textOf } from '@keyframe/contracts/streams';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codecNamed } from './codecs.ts';
import { loadConfiguration } from './load-configuration.ts';
import { type OpenOptions, openApp } from './open-app.ts';
import type { App } from './app.ts';

const SOURCES = { pluginRoots: [new URL(import.meta.url)], conditions: ['@keyframe/source'] };

let directory = '';
let said: string[] = [];
const log: Log = { debug: () => undefined, info: () => undefined, warn: (message) => void said.push(message) };

beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'kf-app-'));
  await writeFile(
    path.join(directory, 'keyframe.yaml'),
    `clusters:
  main: { source: { url: "postgresql://kf:geheim@db:6432/app" }, repository: vault }
  other: { repository: vault }
repositories:
  vault: { stores: [{ use: fs, directory: ${directory}/vault }] }
  mirrored:
    lead: rack
    stores:
      - { use: fs, name: rack, directory: ${directory}/rack }
      - { use: fs, name: nas, directory: ${directory}/nas }
  second: { stores: [{ use: ./flaky.mjs }], compress: { use: zstd, level: 3 } }
`,
  );
  // A store that fails twice and notes when it is closed.
  await writeFile(
    path.join(directory, 'flaky.mjs'),
    `let left = 2;
export const closed = [];
export default { kind: 'store', name: 'flaky', contract: 1,
  options: { '~standard': { version: 1, vendor: 'own', validate: (value) => ({ value }) } },
  create: () => ({ capabilities: {},
    stat: async () => {
      if (left-- > 0) throw Object.assign(new Error('busy'), { name: 'KeyframeError', code: 'UNAVAILABLE' });
      return undefined;
    },
    close: async () => { closed.push(1); } }) };`,
  );
});
afterAll(() => rm(directory, { recursive: true }));

async function open(options: Partial<OpenOptions>): Promise<App> {
  const configuration = await loadConfiguration({
    ...SOURCES,
    configPath: undefined,
    cwd: directory,
    environment: {},
    codecs: ['zstd', 'gzip'],
  });
  return openApp(configuration, { log, environment: {}, ...options });
}

describe('an app', () => {
  it('joins the cluster, its repository and its store', async () => {
    const app = await open({ cluster: 'main' });
    expect([app.clusterName, app.repositoryName]).toEqual(['main', 'vault']);
    const { id } = await app.repository.init();
    expect((await app.repository.identity()).id).toBe(id);
    await app.store.put('x/y', textOf('hello'));
    expect((await drain(await (app.rawStores[0]?.store ?? app.store).get('x/y'))).toString()).toBe('hello');
    await app.close();
    await app.close();
  });

  it('joins several stores to one, and goes on without some of them', async () => {
    const environment = { XDG_STATE_HOME: path.join(directory, 'state') };
    const app = await open({ cluster: 'main', repository: 'mirrored', environment });
    await app.repository.init();
    await app.store.put('x/y', textOf('hello'), { ifAbsent: true });
    for (const { store } of app.rawStores) expect((await drain(await store.get('x/y'))).toString()).toBe('hello');
    expect(app.mirror?.rule).toEqual({ quorum: 1, lead: 'rack' });
    await app.close();
    const without = await open({ cluster: 'main', repository: 'mirrored', environment, withoutStores: ['rack'] });
    expect((await drain(await without.store.get('x/y'))).toString()).toBe('hello');
    await expect(without.store.put('z', textOf(''), { ifAbsent: true })).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    await without.close();
    for (const withoutStores of [['attic'], ['rack', 'nas']]) {
      const none = await open({ cluster: 'main', repository: 'mirrored', environment, withoutStores });
      expect(() => none.store).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
      await none.close();
    }
  });

  it('takes the URL with what the environment adds', async () => {
    const app = await open({ cluster: 'main', environment: { PGAPPNAME: 'nightly' } });
    expect(await app.connectionTarget()).toMatchObject({
      hosts: [{ host: 'db', port: 6432 }],
      user: 'kf',
      database: 'app',
    });
    await app.close();
  });

  it('asks which cluster when there are several', async () => {
    const error = await open({}).catch((fault: unknown) => fault);
    expect(hasCode(error, 'INVALID_OPTION') && error.hint).toBe('Use --cluster with one of: main, other.');
  });

  it('repeats what a store could not do at once, says so, and closes it at the end', async () => {
    said = [];
    const app = await open({ cluster: 'main', repository: 'second' });
    expect(app.repositoryName).toBe('second');
    expect(await app.store.stat('a')).toBeUndefined();
    expect(said).toHaveLength(2);
    await app.close();
    const { closed } = (await import(path.join(directory, 'flaky.mjs'))) as { readonly closed: readonly number[] };
    expect(closed).toHaveLength(1);
  });
});

describe('a codec', () => {
  const host = {} as Parameters<ReturnType<typeof codecNamed>['create']>[0];

  it('is loaded by its id when a frame needs it', async () => {
    const codec = codecNamed('zstd', '/nowhere/keyframe.yaml', SOURCES).create(host);
    const packed = await codec.compress(Buffer.from('frame'));
    expect(Buffer.from(await codec.decompress(packed, 5)).toString()).toBe('frame');
    await codec.close?.();
  });

  it('that no plugin reads is told by its id', async () => {
    const codec = codecNamed('snappy', '/nowhere/keyframe.yaml', SOURCES).create(host);
    const error = await codec.decompress(Buffer.alloc(1), 1).catch((fault: unknown) => fault);
    expect(hasCode(error, 'PLUGIN_NOT_FOUND') && error.details['codec']).toBe('snappy');
  });
});
