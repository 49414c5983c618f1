/** Who holds a lease, so precisely that a dead holder is recognised at once on its own host. @packageDocumentation */
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { LeaseHolder } from '@keyframe/repository';

/** This process as a holder. On systems without /proc boot id and start are empty, and only time expires its leases. */
export async function thisProcess(command: string): Promise<LeaseHolder> {
  return {
    host: hostname(),
    bootId: await bootId(),
    pid: process.pid,
    processStart: (await lookAt(process.pid))?.start ?? '',
    command,
  };
}

/** False only when the holder is proven dead: same host and boot, and no such process or another one under its pid. */
export async function isHolderAlive(holder: LeaseHolder): Promise<boolean> {
  return (await holderState(holder)) !== 'dead';
}

/** Of a holder on this host and boot; `unknown` where the system does not show its process. */
export async function holderState(holder: LeaseHolder): Promise<'alive' | 'dead' | 'unknown'> {
  if (holder.processStart === '') return 'unknown';
  const seen = await lookAt(holder.pid);
  // Mounted with hidepid, /proc shows nothing of another user's process.
  if (seen === undefined) return exists(holder.pid) ? 'unknown' : 'dead';
  return seen.start === holder.processStart && !seen.ended ? 'alive' : 'dead';
}

/** Pids mean something only within one boot and one pid namespace: containers may share the name of their host. */
async function bootId(): Promise<string> {
  const boot = (await read('/proc/sys/kernel/random/boot_id'))?.trim() ?? '';
  const namespace = await readlink('/proc/self/ns/pid').catch(hidden);
  return namespace === undefined ? boot : `${boot} ${namespace}`;
}

/** State and start (clock ticks since boot), fields 3 and 22 of proc_pid_stat(5). The name before may hold brackets. */
async function lookAt(pid: number): Promise<{ readonly start: string; readonly ended: boolean } | undefined> {
  const stat = await read(`/proc/${pid}/stat`);
  const [state = '', ...fields] = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  const start = fields[18];
  // A process that has ended stays visible until its parent has asked for its status.
  return start === undefined ? undefined : { start, ended: state === 'Z' || state === 'X' };
}

function exists(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    if (error instanceof Error && 'code' in error && error.code === 'EPERM') return true;
    throw error;
  }
}

async function read(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch(hidden);
}

function hidden(error: NodeJS.ErrnoException): undefined {
  if (!['ENOENT', 'ESRCH', 'EACCES', 'EPERM'].includes(error.code ?? '')) throw error;
}
