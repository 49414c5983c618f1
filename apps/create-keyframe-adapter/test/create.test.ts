import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAdapter, KINDS } from '../src/create.ts';

const run = promisify(execFile);
const ROOT = fileURLToPath(new URL('../../..', import.meta.url));
const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const CONDITION = '--conditions=@keyframe/source';

let home: string;

/** Packages are installed as links to this checkout: what is packed is tried out by a test of its own. */
beforeAll(async () => {
  home = await mkdtemp(path.join(tmpdir(), 'kf-create-'));
  await mkdir(path.join(home, 'node_modules/@keyframe'), { recursive: true });
  for (const name of ['contracts', 'testkit'])
    await symlink(path.join(ROOT, 'packages', name), path.join(home, 'node_modules/@keyframe', name));
  await symlink(path.join(ROOT, 'node_modules/@types'), path.join(home, 'node_modules/@types'));
});
afterAll(() => rm(home, { recursive: true, force: true }));

describe('a new adapter', () => {
  it.each(KINDS)('of kind %s passes its tests at once', async (kind) => {
    const directory = path.join(home, kind);
    await createAdapter({ name: `keyframe-${kind}-tape`, kind, tests: 'node', directory });
    const { stdout } = await run(process.execPath, [CONDITION, '--test', 'src/*.test.ts'], {
      cwd: directory,
      env: { ...process.env, NODE_TEST_CONTEXT: undefined },
    });
    expect(stdout).toMatch(/^# fail 0|ℹ fail 0/m);
    expect(stdout).not.toMatch(/^(# pass|ℹ pass) 0$/m);
  });

  it('has the right types, of whatever kind', async () => {
    const directory = path.join(home, 'typed');
    for (const kind of KINDS)
      await createAdapter({
        name: `keyframe-${kind}-typed`,
        kind,
        tests: 'node',
        directory: path.join(directory, kind),
      });
    const config = { extends: './store/tsconfig.json', compilerOptions: { rootDir: '/' }, include: ['*/src'] };
    await writeFile(path.join(directory, 'tsconfig.json'), JSON.stringify(config));
    const tsc = path.join(ROOT, 'node_modules/.bin/tsc');
    // It prints what is wrong, and fails.
    const { stdout } = await run(tsc, ['-p', directory, '--noEmit', '--customConditions', '@keyframe/source']);
    expect(stdout).toBe('');
  });

  it('may be tested by vitest', async () => {
    const directory = path.join(home, 'by-vitest');
    await createAdapter({ name: '@acme/tape', kind: 'store', tests: 'vitest', directory });
    const text = await readFile(path.join(directory, 'src/adapter.test.ts'), 'utf8');
    expect(text).toContain("from 'vitest'");
    const manifest = JSON.parse(await readFile(path.join(directory, 'package.json'), 'utf8')) as object;
    expect(manifest).toMatchObject({
      name: '@acme/tape',
      scripts: { test: 'vitest run' },
      devDependencies: { vitest: expect.any(String) as string },
    });
    await symlink(path.join(ROOT, 'node_modules/vitest'), path.join(home, 'node_modules/vitest'));
    const vitest = path.join(ROOT, 'node_modules/.bin/vitest');
    const config = "export default { ssr: { resolve: { conditions: ['@keyframe/source'] } } };";
    await writeFile(path.join(directory, 'vitest.config.mjs'), config);
    await run(vitest, ['run', '--root', directory, '--config', path.join(directory, 'vitest.config.mjs')], {
      cwd: directory,
    });
  });

  it('never takes the place of what is there', async () => {
    const directory = path.join(home, 'full');
    await mkdir(directory);
    await writeFile(path.join(directory, 'mine'), '1');
    const made = createAdapter({ name: 'tape', kind: 'store', tests: 'node', directory });
    await expect(made).rejects.toThrow('is not empty');
    expect(await readdir(directory)).toEqual(['mine']);
  });

  it('has a name that npm takes', async () => {
    const made = createAdapter({ name: '../etc', kind: 'store', tests: 'node', directory: path.join(home, 'named') });
    await expect(made).rejects.toThrow('is no name of an npm package');
  });
});

describe('the command', () => {
  it('asks nothing, and says what to do next', async () => {
    const { stdout } = await run(process.execPath, [MAIN, 'keyframe-store-tape', '--kind', 'store'], { cwd: home });
    expect(stdout).toContain('npm test');
    expect(await readdir(path.join(home, 'keyframe-store-tape'))).toContain('package.json');
  });

  it.each([
    [[]],
    [['tape', '--kind', 'bucket']],
    [['tape', '--kind', 'store', '--tests', 'jest']],
    [['tape', '--what']],
  ])('refuses %j with its usage', async (args) => {
    await expect(run(process.execPath, [MAIN, ...args], { cwd: home })).rejects.toMatchObject({
      code: 2,
      stderr: expect.stringContaining('usage: npm create keyframe-adapter') as string,
    });
  });
});
