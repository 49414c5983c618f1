import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { hasCode } from '@keyframe/contracts';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import type { Configuration } from './configuration.ts';
import { loadConfiguration, type LoadOptions } from './load-configuration.ts';
import { problemsOf } from './problems.ts';

const THREE_LINES = `clusters:
  main:
repositories: { vault: { stores: [ { use: fs, directory: /var/backups/keyframe } ] } }
`;

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'kf-config-'));
});
afterEach(() => rm(directory, { recursive: true, force: true }));

const put = (name: string, text: string): Promise<void> => writeFile(path.join(directory, name), text);

const load = (options: Partial<LoadOptions> = {}): Promise<Configuration> =>
  loadConfiguration({
    configPath: undefined,
    cwd: directory,
    environment: {},
    systemDirectory: path.join(directory, 'etc'),
    pluginRoots: [new URL(import.meta.url)],
    conditions: ['@keyframe/source'],
    ...options,
  });

const fault = (options?: Partial<LoadOptions>): Promise<unknown> =>
  load(options).then(
    () => undefined,
    (error: unknown) => error,
  );

/** The problems as `path line:column code reason`. */
async function problems(yaml: string, options?: Partial<LoadOptions>): Promise<string[]> {
  await put('keyframe.yaml', yaml);
  const list = problemsOf(await fault(options)) ?? [];
  return list.map(({ path: at, line, column, code, reason }) => `${at} ${line}:${column} ${code} ${reason}`);
}

describe('a config file', () => {
  it('of three lines is enough', async () => {
    await put('keyframe.yaml', THREE_LINES);
    const { file, clusters, repositories } = await load();
    expect(file).toBe(path.join(directory, 'keyframe.yaml'));
    expect(clusters.get('main')).toEqual({
      name: 'main',
      source: { url: undefined, displayUrl: undefined, dataDirectory: undefined },
      repository: 'vault',
      walTimeoutMs: 60_000,
      maxRateBytes: undefined,
      receive: { slot: 'keyframe_main', flushIntervalMs: 5000, flushBytes: 4 << 20, synchronous: false },
    });
    expect(repositories.get('vault')).toMatchObject({
      stores: [{ use: 'fs', pluginName: 'store-fs' }],
      compress: { use: 'zstd', pluginName: 'compress-zstd' },
    });
  });

  it('may say everything', async () => {
    await put(
      'keyframe.yaml',
      `# yaml-language-server: $schema=./keyframe.schema.json
clusters:
  main:
    source: { url: "postgresql://kf:\${env:PW}@db/postgres", dataDirectory: /data }
    repository: vault
    walTimeout: 5min
    maxRate: 50MiB/s
    receive: { slot: kf, flushInterval: 10s, flushBytes: 1MiB, synchronous: true }
repositories:
  vault: { stores: [{ use: fs, directory: "\${env:DIR}/b" }], compress: { use: zstd, level: 3 } }
  other: { stores: [{ use: "@keyframe/store-fs", directory: /c }], compress: zstd }
`,
    );
    const configuration = await load({ environment: { PW: 'hunter2', DIR: '/backups' } });
    const main = configuration.clusters.get('main');
    expect(main).toMatchObject({ repository: 'vault', walTimeoutMs: 300_000, maxRateBytes: 50 * 1024 ** 2 });
    expect(main?.receive).toEqual({ slot: 'kf', flushIntervalMs: 10_000, flushBytes: 1 << 20, synchronous: true });
    expect(main?.source.url?.reveal()).toBe('postgresql://kf:hunter2@db/postgres');
    expect(main?.source.displayUrl).toBe('postgresql://kf:***@db/postgres');
    expect(JSON.stringify([...configuration.clusters])).not.toContain('hunter2');
    expect(configuration.redact('pw is hunter2')).toBe('pw is ***');
  });

  it.each([
    [
      'keyframe.json',
      JSON.stringify({ clusters: { a: {} }, repositories: { r: { stores: [{ use: 'fs', directory: '/x' }] } } }),
    ],
    [
      'package.json',
      JSON.stringify({
        keyframe: { clusters: { a: {} }, repositories: { r: { stores: [{ use: 'fs', directory: '/x' }] } } },
      }),
    ],
    [
      'keyframe.config.mjs',
      `export default { clusters: { a: {} }, repositories: { r: { stores: [{ use: 'fs', directory: '/x' }] } } }`,
    ],
    ['keyframe.yml', 'clusters: { a: }\nrepositories: { r: { stores: [ { use: fs, directory: /x } ] } }'],
  ])('may be %s', async (name, text) => {
    await put(name, text);
    expect([...(await load()).clusters.keys()]).toEqual(['a']);
  });

  it('in JavaScript may hold the plugin itself', async () => {
    await put(
      'keyframe.config.mjs',
      `const plugin = { kind: 'store', name: 'store-own', contract: 1,
        options: { '~standard': { version: 1, vendor: 'own', validate: (value) => ({ value }) } },
        create: (options) => ({ capabilities: {}, options }) };
      export default { clusters: { a: {} }, repositories: { r: { stores: [{ use: plugin, size: 5 }] } } };`,
    );
    const store = (await load()).repositories.get('r')?.stores[0];
    expect(store).toMatchObject({ use: 'store-own', pluginName: 'store-own' });
    expect(store?.create({} as never)).toMatchObject({ options: { size: 5 } });
  });
});

describe('looking for the config file', () => {
  it('never goes to a parent directory', async () => {
    await put('keyframe.yaml', THREE_LINES);
    const below = path.join(directory, 'below');
    await mkdir(below);
    const error = await fault({ cwd: below });
    expect(hasCode(error, 'CONFIG_NOT_FOUND') && error.details['names']).toContain('keyframe.yaml, keyframe.yml');
    expect(error).toHaveProperty('hint', expect.stringContaining('keyframe init'));
  });

  it('goes to the system directory last', async () => {
    await mkdir(path.join(directory, 'etc'));
    await put('etc/keyframe.yaml', THREE_LINES);
    expect((await load()).file).toBe(path.join(directory, 'etc/keyframe.yaml'));
    await put('keyframe.yaml', THREE_LINES);
    expect((await load()).file).toBe(path.join(directory, 'keyframe.yaml'));
  });

  it('passes over a package.json without keyframe', async () => {
    await put('package.json', '{"name":"x"}');
    expect(hasCode(await fault(), 'CONFIG_NOT_FOUND')).toBe(true);
  });

  it('takes --config before KEYFRAME_CONFIG before the directory', async () => {
    await put('keyframe.yaml', THREE_LINES);
    await put('one.yaml', THREE_LINES);
    await put('two.conf', THREE_LINES);
    const environment = { KEYFRAME_CONFIG: 'one.yaml' };
    expect((await load({ environment })).file).toBe(path.join(directory, 'one.yaml'));
    expect((await load({ environment, configPath: 'two.conf' })).file).toBe(path.join(directory, 'two.conf'));
  });

  it('tells a named file that is not there, and an empty one', async () => {
    await put('keyframe.yaml', THREE_LINES);
    expect(hasCode(await fault({ configPath: 'no.yaml' }), 'CONFIG_NOT_FOUND')).toBe(true);
    await put('keyframe.yaml', '\n');
    expect(hasCode(await fault(), 'CONFIG_INVALID')).toBe(true);
  });

  it('never passes over a file that may not be read', async () => {
    await put('keyframe.yaml', THREE_LINES);
    await put('keyframe.json', JSON.stringify({}));
    await chmod(path.join(directory, 'keyframe.yaml'), 0);
    await chmod(directory, 0o755);
    const isRoot = process.geteuid?.() === 0;
    if (isRoot) process.seteuid?.(65_534);
    try {
      expect(hasCode(await fault(), 'ACCESS_DENIED')).toBe(true);
    } finally {
      if (isRoot) process.seteuid?.(0);
    }
  });
});

describe('what is wrong with a config file', () => {
  it('is told all at once, each with its place', async () => {
    expect(
      await problems(`clusters:
  main:
    repository: valut
    walTimout: 5m
    walTimeout: 10
    maxRate: 1KiB/s
    schedule: { full: "0 3 * * 0" }
    source: { url: "host=db", dataDirectory: data }
  Bad Name: {}
repositories:
  vault:
    stores:
      - { use: fs, directroy: /x }
    encrypt: [ { use: passphrase, passphrase: short } ]
    compress: { use: zstd, level: 99 }
  twice: { stores: [ { use: fs, directory: /a }, { use: fs, directory: b }, { directory: /c } ] }
  none: {}
notify: []
`),
    ).toEqual([
      'clusters.main.source.url 8:15 CONFIG_INVALID must be a connection URI, not "host=db"',
      'clusters.main.source.dataDirectory 8:31 CONFIG_INVALID must be an absolute path',
      'clusters.main.walTimeout 5:5 CONFIG_INVALID must be a duration with its unit, in text',
      'clusters.main.maxRate 6:5 CONFIG_INVALID must be from 32KiB/s to 1GiB/s, which PostgreSQL accepts',
      'clusters.main.walTimout 4:5 CONFIG_INVALID unknown key',
      'clusters.main.schedule 7:5 CONFIG_INVALID not available in this version',
      'repositories.twice.stores[2].use 16:77 CONFIG_INVALID required',
      'repositories.none.stores 17:3 CONFIG_INVALID required',
      'notify 18:1 CONFIG_INVALID not available in this version',
      'clusters["Bad Name"] 9:3 CONFIG_INVALID is no name: a name has 1 to 63 of a-z, 0-9, - and _, and starts with a letter or digit',
      'repositories.twice.stores[1] 16:50 CONFIG_INVALID another store is called fs, too',
      'clusters.main.repository 3:5 CONFIG_INVALID there is no repository "valut"',
      'clusters["Bad Name"].repository 9:3 CONFIG_INVALID required, since there are several',
      'repositories.vault.stores[0].directory 13:9 CONFIG_INVALID required',
      'repositories.vault.stores[0].directroy 13:20 CONFIG_INVALID unknown key',
      'repositories.vault.compress.level 15:28 CONFIG_INVALID must be 1 to 19, or -7 to -2 for speed (-1 and 0 would silently mean 3)',
      'repositories.vault.encrypt[0].passphrase 14:35 CONFIG_INVALID must have at least 12 characters',
      'repositories.twice.stores[1].directory 16:61 CONFIG_INVALID must be an absolute path',
    ]);
  });

  it('names what was meant', async () => {
    await put(
      'keyframe.yaml',
      THREE_LINES.replace('main:', 'main: { walTimout: 5m }').replace('directory', 'directroy'),
    );
    const fixes = (problemsOf(await fault()) ?? []).map(({ path: at, fix }) => [at, fix]);
    expect(fixes).toContainEqual(['clusters.main.walTimout', 'Write `walTimeout`, or remove it.']);
    expect(fixes).toContainEqual(['repositories.vault.stores[0].directroy', 'Write `directory`, or remove it.']);
  });

  it.each([
    ['syntax', 'clusters:\n  main: [\n', '3:1'],
    ['a key twice', 'clusters: {}\nclusters: {}\n', '2:1'],
  ])('has a place when it is %s', async (_, yaml, position) => {
    const [first] = await problems(yaml);
    expect(first).toContain(` ${position} CONFIG_INVALID `);
  });

  it('has a remedy when a reference is not quoted', async () => {
    await put('keyframe.yaml', THREE_LINES.replace('/var', '${env:X}'));
    expect(problemsOf(await fault())?.[0]?.fix).toBe('Put text that holds ${…} in double quotes.');
  });

  it('may be its whole shape', async () =>
    expect(await problems('- a\n- b\n')).toEqual([' 1:1 CONFIG_INVALID must be a map, not a list']));

  it('is told for JSON with line and column too', async () => {
    await put('keyframe.json', '{\n  "clusters": { "main": { "x": 1 } },\n  "repositories": 5\n}\n');
    expect(problemsOf(await fault())).toMatchObject([
      { path: 'clusters.main.x', line: 2, column: 27 },
      { path: 'repositories', line: 3, column: 3, reason: 'must be a map, not a number' },
    ]);
  });

  it('hides secrets, however short, and says once what cannot be resolved', async () => {
    const yaml = THREE_LINES.replace('main:', 'main: { walTimeout: "${env:T}", source: { url: "${env:U}" } }').replace(
      '/var/backups/keyframe',
      '"${env:GONE}"',
    );
    const list = await problems(yaml, { environment: { T: '7', U: 'host=x password=geheim' } });
    expect(list).toEqual([
      'repositories.vault.stores[0].directory 3:47 CONFIG_INVALID the environment variable GONE is not set',
      'clusters.main.source.url 2:45 CONFIG_INVALID must be a connection URI',
      'clusters.main.walTimeout 2:11 CONFIG_INVALID "***" is no duration',
    ]);
  });
});

describe('a plugin', () => {
  const naming = (use: string): string => THREE_LINES.replace('use: fs', `use: ${JSON.stringify(use)}`);
  const PLUGIN = (change: string): string =>
    `export default { kind: 'store', name: 'own', contract: 1, create: () => ({}),
      options: { '~standard': { version: 1, vendor: 'own', validate: (value) => ({ value }) } }, ${change} };`;

  it('is found by a path from the config file', async () => {
    await mkdir(path.join(directory, 'adapters'));
    await put('adapters/own.mjs', PLUGIN(''));
    await put('keyframe.yaml', naming('./adapters/own.mjs'));
    const configuration = await load({ cwd: '/', configPath: path.join(directory, 'keyframe.yaml') });
    expect(configuration.repositories.get('vault')?.stores[0]?.pluginName).toBe('own');
  });

  it('is found as a package beside the config file before the host application’s', async () => {
    const home = path.join(directory, 'node_modules/@keyframe/store-fs');
    await mkdir(home, { recursive: true });
    await writeFile(
      path.join(home, 'package.json'),
      '{"name":"@keyframe/store-fs","type":"module","exports":{"import":"./i.js"}}',
    );
    await writeFile(path.join(home, 'i.js'), PLUGIN(''));
    await put('keyframe.yaml', THREE_LINES);
    expect((await load()).repositories.get('vault')?.stores[0]?.pluginName).toBe('own');
  });

  it('is found among those delivered with the application last', async () => {
    await put('own.mjs', PLUGIN(''));
    await put('keyframe.yaml', naming('tape'));
    const asked: string[] = [];
    const builtinPlugin = (name: string): URL => {
      asked.push(name);
      return new URL(`file://${directory}/own.mjs`);
    };
    expect((await load({ builtinPlugin })).repositories.get('vault')?.stores[0]?.pluginName).toBe('own');
    expect(asked).toEqual(['@keyframe/store-tape']);
  });

  it('that is nowhere is told with where it was looked for', async () => {
    await put('keyframe.yaml', naming('s4'));
    const error = await fault();
    expect(hasCode(error, 'PLUGIN_NOT_FOUND')).toBe(true);
    expect(problemsOf(error)).toMatchObject([
      {
        path: 'repositories.vault.stores[0].use',
        reason: expect.stringContaining(`no plugin @keyframe/store-s4 (looked from ${directory}/keyframe.yaml, from `),
        fix: expect.stringContaining('npm install @keyframe/store-s4'),
      },
    ]);
  });

  it.each(['node:fs', 'events'])('%s is never a module of Node itself', async (use) => {
    await put('keyframe.yaml', naming(use));
    expect(hasCode(await fault(), 'PLUGIN_NOT_FOUND')).toBe(true);
  });

  it.each([
    ['a wrong kind', PLUGIN(`kind: 'compressor'`), 'is a plugin of kind compressor, and this slot needs a store'],
    ['another contract', PLUGIN('contract: 2'), 'was written for contract 2, and this Keyframe has contract 1'],
    ['no default export', 'export const x = 1;', 'has no default export'],
    ['no options', PLUGIN('options: {}'), 'has no `create` function or no `options` schema'],
    ['another thing', 'export default 5;', 'is no plugin object'],
    ['broken code', 'export default (', 'cannot be loaded'],
  ])('with %s is refused', async (_, code, reason) => {
    await put('own.mjs', code);
    await put('keyframe.yaml', naming('./own.mjs'));
    const error = await fault();
    expect(hasCode(error, 'PLUGIN_INVALID')).toBe(true);
    expect(problemsOf(error)?.[0]?.reason).toContain(reason);
  });
});
