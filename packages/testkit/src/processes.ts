import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';

const ended = (error: unknown): undefined => {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code !== 'ENOENT' && code !== 'ESRCH') throw error;
};

async function parentOf(pid: number): Promise<number | undefined> {
  const line = await readFile(`/proc/${pid}/stat`, 'utf8').catch(ended);
  // The second field is the program's name in brackets and may hold anything.
  const fields = line?.slice(line.lastIndexOf(')') + 2).split(' ');
  return fields === undefined || fields[0] === 'Z' ? undefined : Number(fields[1]);
}

/** Pids of the direct children of `pid`. */
export async function childrenOf(pid: number): Promise<readonly number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const parents = await Promise.all(pids.map(parentOf));
  return pids.filter((_, index) => parents[index] === pid);
}

function kill9(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    ended(error);
  }
}

/** SIGKILL to a process and its direct children; resolves once all are gone. */
export async function killTree(root: number | undefined): Promise<void> {
  if (root === undefined) return;
  // Stopped first, so that it starts no further child between the listing and the kill.
  process.kill(root, 'SIGSTOP');
  const children = await childrenOf(root);
  for (const pid of [root, ...children]) kill9(pid);
  for (const pid of children) while ((await parentOf(pid)) !== undefined) await sleep(5);
}
