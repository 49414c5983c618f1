import { spawnSync } from 'node:child_process';
import { chmod, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { selfInvocation } from '../src/invocation.ts';

const { restoreWrapper: RESTORE, archiveWrapper: ARCHIVE, main: MAIN } = selfInvocation();

/** Names that break a careless script. */
const ODD = `it's "a" $HOME \`x\` %p; & *`;

let directory = '';
let fake = '';

beforeAll(async () => {
  directory = path.join(await mkdtemp(path.join(tmpdir(), 'kf-wrap-')), ODD);
  await mkdir(directory);
  // Stands for Node: does what the variable says, and notes the words it got.
  fake = path.join(directory, 'no de');
  await writeFile(fake, `#!/bin/sh\nprintf '%s\\n' "$@" > "$OUT"\necho noise\neval "$DO"\n`);
  await chmod(fake, 0o755);
});
afterAll(() => rm(path.dirname(directory), { recursive: true }));

interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function run(wrapper: string, args: readonly string[], environment: Record<string, string> = {}): Result {
  const env = { PATH: process.env['PATH'] ?? '', HOME: directory, OUT: path.join(directory, 'words'), ...environment };
  const { status, stdout, stderr } = spawnSync('dash', [wrapper, ...args], { env, encoding: 'utf8' });
  return { status, stdout, stderr };
}

const withFake = (wrapper: string, does: string): number | null =>
  run(wrapper, [fake, 'main.mjs', 'x'], { DO: does }).status;

/** What a fetch that succeeds leaves behind. */
const FETCHES = 'for to; do :; done; : > "$to"; exit 0';

describe('keyframe-restore-command', () => {
  it('takes a success without the file for none', () => {
    const to = path.join(directory, 'fetched');
    expect(run(RESTORE, [fake, 'm', 'f', to], { DO: 'exit 0' }).status).toBe(200);
    expect(run(RESTORE, [fake, 'm', 'f', to], { DO: FETCHES }).status).toBe(0);
  });

  it.each([
    ['exit 64', 1],
    ['exit 1', 200],
    ['exit 2', 200],
    ['exit 63', 200],
    ['exit 65', 200],
    ['exit 125', 200],
    ['exit 126', 200],
    ['exit 127', 200],
    ['exit 200', 200],
    ['kill -9 $$', 200],
    ['kill -15 $$', 200],
    ['kill -11 $$', 200],
  ])('turns `%s` into %i', (does, status) => expect(withFake(RESTORE, does)).toBe(status));

  it('passes every word as it is, and prints nothing', async () => {
    const words = [
      '--config',
      path.join(directory, 'k y.yaml'),
      '--',
      '00000002.history',
      path.join(directory, `to ${ODD}`),
    ];
    const result = run(RESTORE, [fake, `${directory}/main.mjs`, ...words], { DO: FETCHES });
    expect(result).toEqual({ status: 0, stdout: '', stderr: '' });
    const { readFile } = await import('node:fs/promises');
    const got = (await readFile(path.join(directory, 'words'), 'utf8')).split('\n');
    expect(got).toEqual([`${directory}/main.mjs`, 'wal', 'fetch', ...words, '']);
  });

  it.each([
    ['without arguments', []],
    ['with one', ['/usr/bin/true']],
    ['when Node is not there', ['/no/such/node', MAIN, '--', 'f', 'p']],
    ['when Node may not be run', [RESTORE.replace('bin/', 'package.json#'), MAIN, '--', 'f', 'p']],
    ['when Node is a directory', ['/', MAIN, '--', 'f', 'p']],
    ['when the program is not there', [process.execPath, '/no/such/main.mjs', '--', 'f', 'p']],
    ['when the config file is not there', [process.execPath, MAIN, '--config', '/no/such.yaml', '--', 'f', 'p']],
    ['when an option is unknown', [process.execPath, MAIN, '--nonsense', '--', 'f', 'p']],
    ['when a word is missing', [process.execPath, MAIN, '--', 'f']],
    ['when a word is too many', [process.execPath, MAIN, '--', 'f', 'p', 'q']],
  ])('ends with 200 %s', (_, args) => expect(run(RESTORE, args).status).toBe(200));

  it.each(['--nonsense', '--require=/no/such.cjs', '--conditions=x --import=/no/such.mjs', '--max-old-space-size=1'])(
    'ends with 200 when NODE_OPTIONS is %s',
    (options) => {
      const args = [process.execPath, MAIN, '--config', '/no/such.yaml', '--', 'f', 'p'];
      expect(run(RESTORE, args, { NODE_OPTIONS: options }).status).toBe(200);
    },
  );

  it('ends with 200 when the program is broken', async () => {
    const broken = path.join(directory, 'broken.mjs');
    for (const code of [
      'import "no-such-package";',
      'syntax error',
      'process.exit(1)',
      'await new Promise(() => {})',
    ]) {
      await writeFile(broken, code);
      expect(run(RESTORE, [process.execPath, broken, '--', 'f', 'p']).status).toBe(200);
    }
  });
});

describe('keyframe-archive-command', () => {
  it.each([
    ['echo archived 1; exit 0', 0],
    ['echo 1 was archived before; exit 0', 0],
    ['exit 0', 1],
    ['echo archived 1; exit 3', 3],
    ['exit 1', 1],
    ['exit 2', 2],
    ['exit 64', 64],
    ['exit 125', 125],
    ['exit 126', 1],
    ['exit 127', 1],
    ['exit 200', 1],
    ['kill -9 $$', 1],
    ['kill -15 $$', 1],
  ])('turns `%s` into %i', (does, status) => expect(withFake(ARCHIVE, does)).toBe(status));

  it('is silent on success and passes the reason of a fault on', () => {
    const archives = { DO: 'echo archived x; exit 0' };
    expect(run(ARCHIVE, [fake, 'm', 'x'], archives)).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(run(ARCHIVE, [fake, 'm', 'x'], { DO: 'echo why >&2; exit 1' }).stderr).toBe('why\n');
  });

  it('ends with 1 when Node is not there, 2 when the config file is not', () => {
    expect(run(ARCHIVE, ['/no/such/node', MAIN, '--', 'p']).status).toBe(1);
    expect(run(ARCHIVE, [process.execPath, MAIN, '--config', '/no/such.yaml', '--', 'p']).status).toBe(2);
    expect(run(ARCHIVE, []).status).toBe(1);
  });

  it('never takes a program that does nothing for success', async () => {
    const hollow = path.join(directory, 'hollow.mjs');
    for (const code of ['', '// cut off', 'process.exit(0)']) {
      await writeFile(hollow, code);
      const { status, stderr } = run(ARCHIVE, [process.execPath, hollow, '--', 'p']);
      expect(status).toBe(1);
      expect(stderr).toContain('archived nothing');
    }
    expect(run(ARCHIVE, ['/bin/true', MAIN, '--', 'p']).status).toBe(1);
    expect(run(ARCHIVE, [process.execPath, MAIN, '--help']).status).toBe(1);
  });
});
