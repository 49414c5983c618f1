/** Who holds a lease, so precisely that a dead holder is recognised at once on its own host. @packageDocumentation */
import { readFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import type { LeaseHolder } from '@keyframe/repository';

/** This process as a holder. On systems without /proc boot id and start are empty, and only time expires its leases. */
export async function thisProcess(command: string): Promise<LeaseHolder> {
  return {
    host: hostname(),
    bootId: await bootId(),
    pid: process.pid,
    processStart: (await processStart(process.pid)) ?? '',
    command,
  };
}

/** False only when the holder is proven dead: same host and boot, and no such process or another one under its pid. */
export async function isHolderAlive(holder: LeaseHolder): Promise<boolean> {
  if (holder.processStart === '') return true;
  return (await processStart(holder.pid)) === holder.processStart;
}

async function bootId(): Promise<string> {
  return (await read('/proc/sys/kernel/random/boot_id'))?.trim() ?? '';
}

/** Start time in clock ticks since boot: field 22 of proc_pid_stat(5). The name in field 2 may hold blanks and brackets. */
async function processStart(pid: number): Promise<string | undefined> {
  const stat = await read(`/proc/${pid}/stat`);
  return stat?.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
}

async function read(path: string): Promise<string | undefined> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT' || error.code === 'ESRCH') return undefined;
    throw error;
  });
}
