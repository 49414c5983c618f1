import { spawn, spawnSync } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';

const MAIN = fileURLToPath(new URL('../src/main.ts', import.meta.url));
const NODE = ['--conditions=@keyframe/source', MAIN];

let directory = '';
beforeAll(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'kf-process-'));
});
afterAll(() => rm(directory, { recursive: true }));

function keyframe(args: readonly string[], environment: Record<string, string> = {}) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...NODE, ...args], {
    cwd: directory,
    env: { PATH: process.env['PATH'] ?? '', HOME: directory, ...environment },
    encoding: 'utf8',
  });
  return { status, stdout, stderr };
}

describe('the process', () => {
  it('prints its version', () =>
    expect(keyframe(['--version'])).toEqual({ status: 0, stdout: 'keyframe 0.1.0\n', stderr: '' }));

  it('validates a config file and hides its passwords', async () => {
    await writeFile(
      path.join(directory, 'keyframe.yaml'),
      `clusters: { main: { source: { url: "postgresql://kf:\${env:PW}@db/postgres" } } }
repositories: { vault: { stores: [ { use: fs, directory: /var/backups } ] } }
`,
    );
    const { status, stdout } = keyframe(['config', 'validate', '--json'], { PW: 'hunter22' });
    expect(status).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      clusters: [{ name: 'main', url: 'postgresql://kf:***@db/postgres', repository: 'vault' }],
      repositories: [
        { name: 'vault', stores: [{ name: 'fs', plugin: 'store-fs' }], quorum: 1, compress: 'compress-zstd' },
      ],
    });
  });

  it('finds what is wrong within a connection URI', async () => {
    const bad = 'postgresql://kf@/postgres?host=/run&prot=5433';
    const text = `clusters: { main: { source: { url: "${bad}" } } }
repositories: { vault: { stores: [ { use: fs, directory: /var/backups } ] } }
`;
    await writeFile(path.join(directory, 'uri.yaml'), text);
    const { status, stderr } = keyframe(['config', 'validate', '--config', 'uri.yaml']);
    expect(status).toBe(2);
    expect(stderr).toContain('clusters.main.source.url: unknown connection parameter "prot" (CONFIG_INVALID)');
  });

  it('fails with words when stdout cannot be written', () => {
    const line = `"$0" "$@" --version > /dev/full`;
    const ended = spawnSync('sh', ['-c', line, process.execPath, ...NODE], { encoding: 'utf8' });
    expect(ended).toMatchObject({
      status: 1,
      stderr: expect.stringMatching(/^keyframe: stdout cannot be written: ENOSPC/),
    });
  });

  it('tells every problem of a config file', async () => {
    await writeFile(path.join(directory, 'bad.yaml'), 'clusters:\n  main: { encrypt: x }\nrepositories: 5\n');
    const { status, stdout, stderr } = keyframe(['config', 'validate', '--config', 'bad.yaml']);
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr.split('\n')).toEqual([
      `keyframe: ${directory}/bad.yaml has 2 problems (CONFIG_INVALID)`,
      '  clusters.main.encrypt (line 2, column 11): unknown key',
      '      Remove it (known here: source, repository, walTimeout, maxRate, receive, retention).',
      '  repositories (line 3, column 1): must be a map, not a number',
      expect.stringContaining('repositories: {'),
      `  hint: Correct ${directory}/bad.yaml, then run \`keyframe config validate\`.`,
      '',
    ]);
    const json = JSON.parse(keyframe(['config', 'validate', '--config', 'bad.yaml', '--json']).stdout) as unknown;
    expect(json).toMatchObject({
      error: {
        code: 'CONFIG_INVALID',
        problems: [{ path: 'clusters.main.encrypt', line: 2 }, { path: 'repositories' }],
      },
    });
  });

  it('prints the schema with the options of its own plugins', () => {
    const { stdout } = keyframe(['config', 'schema']);
    expect(JSON.stringify(JSON.parse(stdout))).toContain('"directory"');
  });

  it('completes commands, options and values', () => {
    const complete = (...words: readonly string[]): string[] =>
      keyframe(['complete', '--', ...words])
        .stdout.split('\n')
        .map((line) => line.split('\t')[0] ?? '');
    expect(complete('wal', '')).toEqual(expect.arrayContaining(['push', 'fetch', 'status']));
    expect(complete('config', 'schema', '--w')).toContain('--write');
    expect(complete('backup', '--checkpoint', '')).toEqual(expect.arrayContaining(['fast', 'spread']));
    expect(keyframe(['completion', 'bash']).stdout).toContain('complete -F');
  });

  it('is not troubled by a reader that leaves', () => {
    const command = `"$0" "$@" 2>&1 | head -n 1; exit "\${PIPESTATUS[0]}"`;
    const { status, stdout } = spawnSync('bash', ['-c', command, process.execPath, ...NODE, 'help'], {
      encoding: 'utf8',
    });
    expect({ status, stdout }).toEqual({ status: 0, stdout: 'Usage: keyframe <command> [options]\n' });
  });
});

describe('a signal', () => {
  /** A config file whose loading never ends, and a signal that is sent until the process is gone. */
  async function interrupted(signal: NodeJS.Signals): Promise<number | null> {
    const config = path.join(directory, 'slow.mjs');
    await writeFile(config, `process.stderr.write('ready\\n'); await new Promise((done) => setTimeout(done, 60_000));`);
    const child = spawn(process.execPath, [...NODE, 'config', 'validate', '--config', config], {
      env: { PATH: process.env['PATH'] ?? '', HOME: directory },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let timer: NodeJS.Timeout | undefined;
    child.stderr.once('data', () => {
      timer = setInterval(() => child.kill(signal), 50);
    });
    const status = await new Promise<number | null>((resolve) => {
      child.once('exit', resolve);
    });
    clearInterval(timer);
    return status;
  }

  it.each([
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const)('%s given again ends the process at once with %i', async (signal, status) =>
    expect(await interrupted(signal)).toBe(status),
  );
});
