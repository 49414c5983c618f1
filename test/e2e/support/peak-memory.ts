import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Ended, Running } from './keyframe.ts';

/** How a command ended, and the most memory its process ever had. */
export interface Measured {
  readonly ended: Ended;
  /** VmHWM of proc_pid_status(5), MiB. */
  readonly peakMiB: number;
}

const POLL_MS = 10;

/** Follows a command to its end. The kernel keeps the peak, so only what happens within the last poll can be missed. */
export async function peakMemory(running: Running): Promise<Measured> {
  let peakMiB = 0;
  const ended = running.ended.then(() => true);
  while (!(await Promise.race([ended, sleep(POLL_MS, false)]))) {
    const status = await readFile(`/proc/${running.pid}/status`, 'utf8').catch(() => '');
    const kibibytes = /^VmHWM:\s+(\d+) kB$/m.exec(status)?.[1];
    if (kibibytes !== undefined) peakMiB = Math.max(peakMiB, Math.round(Number(kibibytes) / 1024));
  }
  return { ended: await running.ended, peakMiB };
}
