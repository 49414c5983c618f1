/** Runs this checkout's `keyframe` as a user would: another process, its exit status, what it printed. @packageDocumentation */
import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { cleanEnvironment } from '@keyframe/testkit/postgres';

const at = (path: string): string => fileURLToPath(new URL(`../../../${path}`, import.meta.url));

/** Paths of this checkout as PostgreSQL's settings name them. */
export const SELF: Readonly<Record<'node' | 'main' | 'archiveWrapper' | 'restoreWrapper', string>> = {
  node: process.execPath,
  main: at('apps/cli/src/main.ts'),
  archiveWrapper: at('apps/cli/bin/keyframe-archive-command'),
  restoreWrapper: at('apps/cli/bin/keyframe-restore-command'),
};

export interface CallOptions {
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  readonly cwd?: string | undefined;
  readonly signal?: AbortSignal | undefined;
  /** Words put before the command, such as a program that takes privileges away. */
  readonly prefix?: readonly string[] | undefined;
}

/** How a process ended; `status` is 128 and the signal's number when one killed it, as a shell has it. */
export interface Ended {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** What `--json` prints for a fault. */
export interface Fault {
  readonly status: number;
  readonly code: string;
  readonly message: string;
  readonly hint: string | undefined;
  readonly details: Readonly<Record<string, unknown>>;
}

/** A started command. */
export interface Running {
  readonly child: ChildProcess;
  readonly pid: number;
  readonly ended: Promise<Ended>;
}

const SIGNALS: Readonly<Record<string, number>> = { SIGKILL: 9, SIGINT: 2, SIGTERM: 15, SIGPIPE: 13, SIGSEGV: 11 };

/** Starts a program and gathers what it prints. */
export function run(command: readonly string[], options: CallOptions = {}): Running {
  const [program = '', ...args] = [...(options.prefix ?? []), ...command];
  const child = spawn(program, args, {
    cwd: options.cwd ?? '/',
    env: cleanEnvironment({ KEYFRAME_CONFIG: undefined, NO_COLOR: '1', ...options.environment }),
    stdio: ['ignore', 'pipe', 'pipe'],
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const collected = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      collected[name] += text;
    });
  const ended = new Promise<Ended>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code, signal) =>
      resolve({ status: code ?? 128 + (SIGNALS[signal ?? ''] ?? 0), ...collected }),
    );
  });
  return { child, pid: child.pid ?? -1, ended };
}

/** Starts `keyframe` with those words. */
export function spawnKeyframe(args: readonly string[], options: CallOptions = {}): Running {
  return run([SELF.node, '--conditions=@keyframe/source', SELF.main, ...args], options);
}

/** The report of a command that must succeed. */
export function reportOf({ status, stdout, stderr }: Ended, what: string): unknown {
  if (status !== 0) throw new Error(`keyframe ${what} ended with ${status}: ${stdout}${stderr}`);
  return JSON.parse(stdout);
}

/** The fault of a command that must fail with one; anything else it did is a fault of its own. */
export function faultOf({ status, stdout, stderr }: Ended, what: string): Fault {
  const parsed = parse(stdout) as { error?: Omit<Fault, 'status'> } | undefined;
  if (status === 0 || parsed?.error === undefined)
    throw new Error(`keyframe ${what} ended with ${status} and told no fault: ${stdout}${stderr}`);
  return { ...parsed.error, status };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}
