import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** What a finished program printed, and its status. */
export interface Finished {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** How a program is run. */
export interface RunOptions {
  /** Written to standard input, which is then closed. */
  readonly input?: string | undefined;
  /** Added to the environment of the child; `undefined` removes a variable. */
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  readonly cwd?: string | undefined;
  readonly signal?: AbortSignal | undefined;
}

let prefix: Promise<readonly string[]> | undefined;

/**
 * Words put before a command so that PostgreSQL, which refuses root, runs: nothing for other users; for root a user
 * namespace in which our files belong to uid 1000. The namespace program replaces itself, so the pid is PostgreSQL's own.
 */
function unprivileged(): Promise<readonly string[]> {
  return (prefix ??= (async () => {
    if (process.getuid?.() !== 0) return [];
    const words = ['unshare', '--user', '--map-user=1000', '--map-group=1000'];
    await run('unshare', [...words.slice(1), 'true']);
    return words;
  })());
}

/** Our environment without anything that would steer libpq or change the language of messages. */
export function cleanEnvironment(added: RunOptions['environment'] = {}): NodeJS.ProcessEnv {
  const own = Object.entries(process.env).filter(([name]) => !name.startsWith('PG') && !name.startsWith('LC_'));
  return { ...Object.fromEntries(own), LC_ALL: 'C', ...added };
}

/** Starts `command` without privileges. The caller owns the child. */
export async function spawnUnprivileged(
  command: string,
  args: readonly string[],
  options: RunOptions & { readonly output: number | 'pipe' },
): Promise<ChildProcess> {
  const [first = command, ...rest] = [...(await unprivileged()), command, ...args];
  return spawn(first, rest, {
    cwd: options.cwd ?? '/',
    env: cleanEnvironment(options.environment),
    stdio: ['pipe', options.output, options.output],
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
}

/** Runs `command` to its end without privileges and resolves whatever its status; killed by a signal counts as 128. */
export async function runUnprivileged(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<Finished> {
  const child = await spawnUnprivileged(command, args, { ...options, output: 'pipe' });
  const collected = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name]?.setEncoding('utf8').on('data', (text: string) => {
      collected[name] += text;
    });
  }
  child.stdin?.on('error', () => undefined); // a program that does not read its input closes it early
  child.stdin?.end(options.input ?? '');
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve({ status: code ?? 128, ...collected }));
  });
}

/** A TCP port of 127.0.0.1 that was free a moment ago, below the range from which outgoing connections are served. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 100; attempt += 1) {
    const port = 20_000 + Math.floor(Math.random() * 12_000);
    if (await isFree(port)) return port;
  }
  throw new Error('no free port between 20000 and 32000');
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
