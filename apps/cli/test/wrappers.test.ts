import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { chmod, chown, mkdir, mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
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

function run(wrapper: string, args: readonly string[], environment: Record<string, string> = {}, cwd?: string): Result {
  const env = { PATH: process.env['PATH'] ?? '', HOME: directory, OUT: path.join(directory, 'words'), ...environment };
  const { status, stdout, stderr } = spawnSync('dash', [wrapper, ...args], { env, encoding: 'utf8', cwd });
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
    const spool = ['--spool', 'keyframe.spool', '--spool-for', words.slice(0, 3).join(' ')];
    expect(got).toEqual([`${directory}/main.mjs`, 'wal', 'fetch', ...spool, ...words, '']);
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
    ['echo archived 1 >&3; exit 0', 0],
    ['echo 1 was archived before >&3; exit 0', 0],
    // What was answered is durable, whatever became of what the process did behind its answer.
    ['echo archived 1 >&3; exit 3', 0],
    ['exit 0', 1],
    // Said to nobody.
    ['echo archived 1; exit 0', 1],
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
    const archives = { DO: 'echo archived x >&3; exit 0' };
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

describe('what keyframe-archive-command answers from the spool', () => {
  const SEGMENT = '000000010000000000000007';
  const boot = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  const parts = {
    boot,
    pid: '4711',
    started: '1790000000',
    system: '7400000000000000001',
    segment: SEGMENT,
    data: '',
    command: '',
  };
  let data = '';
  let config = '';
  let marker = '';

  /** A data directory with a running server, as far as the wrapper looks, and a marker. */
  const arrange = async (changed: Partial<typeof parts> = {}): Promise<void> => {
    data = await mkdtemp(path.join(directory, 'data '));
    config = path.join(data, 'keyframe.yaml');
    marker = path.join(data, 'keyframe.spool', SEGMENT);
    await writeFile(config, '');
    await utimes(config, 1_000_000_000, 1_000_000_000);
    await writeFile(path.join(data, 'postmaster.pid'), `4711\n${data}\n1790000000\n5432\n/tmp\n\n  1 2\nready   \n`);
    await mkdir(path.dirname(marker), { mode: 0o700 });
    const own = { ...parts, data, command: `--config ${config} --`, ...changed };
    const { boot: at, pid, started, system, segment, data: named, command } = own;
    await writeFile(marker, `${at} ${pid} ${started} ${system} ${segment} ${named}\n${command}\n`);
  };
  /** 7: Node was asked, which is the fake. */
  const archive = (...options: string[]): Result =>
    run(ARCHIVE, [fake, 'm', '--config', config, ...options, '--', `pg_wal/${SEGMENT}`], { DO: 'exit 7' }, data);

  it('is success without Node, once', async () => {
    await arrange();
    expect(archive()).toEqual({ status: 0, stdout: '', stderr: '' });
    expect(existsSync(marker)).toBe(false);
    expect(archive().status).toBe(7);
  });

  it.each([
    ['an earlier boot', { boot: '00000000-0000-0000-0000-000000000000' }],
    ['another postmaster', { pid: '4712' }],
    ['an earlier run', { started: '1789999999' }],
    ['another segment', { segment: '000000010000000000000008' }],
    ['another data directory', { data: '/elsewhere' }],
    ['no system identifier', { system: '' }],
    ['another command', { command: '--config /elsewhere.yaml --' }],
    ['no command', { command: '' }],
  ])('asks Node for a marker of %s', async (_, changed) => {
    await arrange(changed);
    expect(archive().status).toBe(7);
  });

  it('asks Node when the config file is not older, not named, or gone', async () => {
    await arrange();
    await utimes(config, 4_000_000_000, 4_000_000_000);
    expect(archive().status).toBe(7);
    await utimes(config, 1_000_000_000, 1_000_000_000);
    expect(run(ARCHIVE, [fake, 'm', '--', `pg_wal/${SEGMENT}`], { DO: 'exit 7' }, data).status).toBe(7);
    expect(existsSync(marker)).toBe(true);
  });

  it('asks Node when no server runs, when the marker is cut, and for what is no file', async () => {
    await arrange();
    await rm(path.join(data, 'postmaster.pid'));
    expect(archive().status).toBe(7);
    await arrange();
    await writeFile(marker, `${boot} 4711`);
    expect(archive().status).toBe(7);
    await arrange();
    await rm(marker);
    await mkdir(marker);
    expect(archive().status).toBe(7);
  });

  it('asks Node where the spool is another user’s', async (context) => {
    if (process.geteuid?.() !== 0) context.skip('only root can give a directory away');
    await arrange();
    await chown(path.dirname(marker), 65_534, 65_534);
    expect(archive().status).toBe(7);
  });
});
