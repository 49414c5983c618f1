/**
 * Whether a server runs on a data directory, from postmaster.pid.
 * @see src/include/utils/pidfile.h in PostgreSQL
 * @packageDocumentation
 */
import { existsSync } from 'node:fs';
import { readFile, readlink, realpath } from 'node:fs/promises';
import path from 'node:path';

/** Lines of postmaster.pid. */
export interface Postmaster {
  readonly pid: number;
  readonly dataDirectory: string;
  /** Unix seconds. */
  readonly startedAtSeconds: number;
  readonly port: number | undefined;
  readonly socketDirectory: string | undefined;
  readonly listenAddress: string | undefined;
  /** `ready` also while a hot standby answers; `standby`: recovering and answering nobody. */
  readonly status: 'starting' | 'stopping' | 'ready' | 'standby' | undefined;
}

const STATUSES = ['starting', 'stopping', 'ready', 'standby'] as const;

/** Reads the text of postmaster.pid; `undefined` when it is not whole yet. A stand-alone backend's pid is negative there. */
export function parsePostmasterPid(text: string): Postmaster | undefined {
  const [pid = '', dataDirectory = '', started = '', port = '', socketDirectory = '', listen = '', , status = ''] = text
    .split('\n')
    .map((line) => line.trim());
  if (!/^-?[1-9][0-9]*$/.test(pid) || dataDirectory === '') return undefined;
  return {
    pid: Math.abs(Number(pid)),
    dataDirectory,
    startedAtSeconds: Number(started),
    port: port === '' ? undefined : Number(port),
    socketDirectory: socketDirectory || undefined,
    listenAddress: listen || undefined,
    status: STATUSES.find((each) => each === status),
  };
}

/** postmaster.pid of a data directory as it stands, whether or not its process lives. */
export async function readPostmaster(dataDirectory: string): Promise<Postmaster | undefined> {
  const text = await absentAsUndefined(readFile(path.join(dataDirectory, 'postmaster.pid'), 'utf8'));
  return text === undefined ? undefined : parsePostmasterPid(text);
}

/**
 * The server that runs on this data directory, or `undefined`. A file left by a crash is not taken for a server: the
 * process must live and work in that directory. Where the system does not show that, a living process counts as running.
 */
export async function isRunning(dataDirectory: string): Promise<Postmaster | undefined> {
  const postmaster = await readPostmaster(dataDirectory);
  if (postmaster === undefined || !isAlive(postmaster.pid)) return undefined;
  const home = await workingDirectory(postmaster.pid);
  const same = home === 'unknown' || home === (await realpath(dataDirectory));
  return same ? postmaster : undefined;
}

/** True while a process of that pid exists, also another user's. */
export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    if (codeOf(error) === 'EPERM') return true;
    if (codeOf(error) === 'ESRCH') return false;
    throw error;
  }
}

/**
 * A postmaster works in its data directory. `undefined` for a process that has ended and waits for its parent;
 * `unknown` where there is no /proc, or the process is not ours to look at.
 */
async function workingDirectory(pid: number): Promise<string | undefined> {
  if (!existsSync('/proc/self/cwd')) return 'unknown';
  try {
    return await readlink(`/proc/${pid}/cwd`);
  } catch (error) {
    if (codeOf(error) === 'ENOENT' || codeOf(error) === 'ESRCH') return undefined;
    if (codeOf(error) === 'EACCES' || codeOf(error) === 'EPERM') return 'unknown';
    throw error;
  }
}

async function absentAsUndefined<T>(reading: Promise<T>): Promise<T | undefined> {
  try {
    return await reading;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
