/** What a command costs: its own time and that of the server it talks to. @packageDocumentation */
import { spawn } from 'node:child_process';
import { lstat, mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir, userInfo } from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { childrenOf, cleanEnvironment } from '@keyframe/testkit/postgres';

/** A program as it is started, without a shell. */
export interface Command {
  readonly argv: readonly string[];
  /** Default: `/`. */
  readonly cwd?: string | undefined;
  readonly environment?: Readonly<Record<string, string | undefined>> | undefined;
  /** As a user that is not root, whom PostgreSQL refuses. Default false. */
  readonly unprivileged?: boolean | undefined;
}

/** Cost of one run. */
export interface Usage {
  readonly wallSeconds: number;
  /** User and system time of the command and every process it waited for. */
  readonly cpuSeconds: number;
  /** Of the largest single process. */
  readonly peakRssBytes: number;
}

const RUSAGE = fileURLToPath(new URL('rusage.py', import.meta.url));
const OUTPUT_KEPT = 4000;

/**
 * Root becomes nobody in a user namespace in which its files are nobody's: PostgreSQL refuses root, Barman wants a user who
 * has a name.
 */
const NOBODY = 65_534;
const AS_NOBODY =
  process.getuid?.() === 0 ? ['unshare', '--user', `--map-user=${NOBODY}`, `--map-group=${NOBODY}`] : [];

/** Name of the user as whom unprivileged commands run. */
export const unprivilegedUser = (): string => (AS_NOBODY.length > 0 ? 'nobody' : userInfo().username);

/** Runs a command to its end. @throws {Error} with the end of its output when it fails */
export async function measure(command: Command): Promise<Usage> {
  const directory = await mkdtemp(path.join(tmpdir(), 'kf-bench-usage-'));
  try {
    const report = path.join(directory, 'usage.json');
    await run({ ...command, argv: ['python3', RUSAGE, report, ...command.argv] });
    return JSON.parse(await readFile(report, 'utf8')) as Usage;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Runs a command unmeasured and gives its standard output. @throws {Error} with the end of its output when it fails */
export async function run({ argv, cwd, environment, unprivileged }: Command): Promise<string> {
  const [program = '', ...args] = unprivileged === true ? [...AS_NOBODY, ...argv] : argv;
  const child = spawn(program, args, {
    cwd: cwd ?? '/',
    env: cleanEnvironment(environment),
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const said = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const)
    child[name].setEncoding('utf8').on('data', (text: string) => {
      said[name] += text;
    });
  const status = await new Promise<number>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', (code) => resolve(code ?? 128));
  });
  if (status === 0) return said.stdout;
  throw new Error(`${argv.join(' ')} ended with ${status}: ${(said.stderr + said.stdout).slice(-OUTPUT_KEPT)}`);
}

/** Clock ticks of /proc: 100 a second on every Linux that PostgreSQL runs on. */
const TICKS_PER_SECOND = 100;

/** User and system seconds that `pid` and its direct children, ended ones included, have used so far. */
export async function cpuSecondsOf(pid: number): Promise<number> {
  const ticks = await Promise.all([pid, ...(await childrenOf(pid))].map(ticksOf));
  return ticks.reduce((sum, each) => sum + each, 0) / TICKS_PER_SECOND;
}

async function ticksOf(pid: number): Promise<number> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // Counted from the state, behind the name in brackets: utime, stime, and those of waited-for children.
  const fields = line.slice(line.lastIndexOf(')') + 2).split(' ');
  return [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index] ?? 0), 0);
}

/** Regular files under a directory: their number and their length. */
export async function contents(directory: string): Promise<{ readonly files: number; readonly bytes: number }> {
  let [files, bytes] = [0, 0];
  for (const entry of await readdir(directory, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    files += 1;
    bytes += (await lstat(path.join(entry.parentPath, entry.name))).size;
  }
  return { files, bytes };
}
