/** Finding and killing the commands that PostgreSQL starts. @packageDocumentation */
import { readdir, readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { childrenOf } from '@keyframe/testkit/postgres';

/** A `keyframe wal push` or `wal fetch` below a postmaster, and the shell that runs it. */
export interface WalCommand {
  readonly pid: number;
  readonly shell: number;
  readonly file: string;
}

const gone = (error: unknown): undefined => {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  if (code !== 'ENOENT' && code !== 'ESRCH') throw error;
};

/** Waits until a server runs such a command. `undefined` when it has not done so within the time. */
export async function waitForWalCommand(
  postmaster: number,
  verb: 'push' | 'fetch',
  timeoutMs: number,
): Promise<WalCommand | undefined> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    const found = await findWalCommand(postmaster, verb);
    if (found !== undefined) return found;
    await sleep(4);
  }
  return undefined;
}

async function findWalCommand(pid: number, verb: 'push' | 'fetch'): Promise<WalCommand | undefined> {
  for (const child of await childrenOf(pid)) {
    const words = (await readFile(`/proc/${child}/cmdline`, 'utf8').catch(gone))?.split('\0') ?? [];
    const at = words.indexOf('wal');
    if (at > 0 && words[at + 1] === verb)
      return { pid: child, shell: pid, file: words.slice(words.indexOf('--') + 1).join(' ') };
    const below = await findWalCommand(child, verb);
    if (below !== undefined) return below;
  }
  return undefined;
}

/**
 * A `keyframe wal push` of the site in that directory. It answers for one file and goes on with others behind its answer, so it
 * need not be a descendant of the server any more.
 */
export async function waitForPush(directory: string, timeoutMs: number): Promise<{ readonly pid: number } | undefined> {
  const deadline = performance.now() + timeoutMs;
  while (performance.now() < deadline) {
    for (const { pid, words } of await processesNaming(directory)) {
      const at = words.indexOf('wal');
      if (at > 0 && words[at + 1] === 'push') return { pid };
    }
    await sleep(4);
  }
  return undefined;
}

async function processesNaming(directory: string): Promise<{ pid: number; words: readonly string[] }[]> {
  const found: { pid: number; words: readonly string[] }[] = [];
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/u.test(name) || Number(name) === process.pid) continue;
    const line = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(gone);
    if (line?.includes(directory) === true) found.push({ pid: Number(name), words: line.split('\0') });
  }
  return found;
}

/** SIGKILL for every process whose command line names that directory: what a lost host takes with it. */
export async function killWhoeverNames(directory: string): Promise<void> {
  for (const { pid } of await processesNaming(directory)) kill9(pid);
}

/** SIGKILL for what archives of the site in that directory: the shells of archive_command, and what goes on behind them. */
export async function killArchiver(directory: string): Promise<void> {
  for (const { pid, words } of await processesNaming(directory))
    if (words.includes('push') || words.some((word) => word.includes('keyframe-archive-command'))) kill9(pid);
}

/** SIGKILL. False when the process was gone already. */
export function kill9(pid: number): boolean {
  try {
    return process.kill(pid, 'SIGKILL');
  } catch (error) {
    gone(error);
    return false;
  }
}

/** Does the work for every item, a few at a time; the first fault ends it. */
export async function inParallel<Item, Result>(
  items: readonly Item[],
  width: number,
  work: (item: Item) => Promise<Result>,
): Promise<Result[]> {
  const results: Result[] = [];
  let next = 0;
  let failed = false;
  const lane = async (): Promise<void> => {
    for (let at = next++; at < items.length && !failed; at = next++) {
      const item = items[at];
      if (item === undefined) continue;
      try {
        results[at] = await work(item);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const lanes = await Promise.allSettled(Array.from({ length: width }, lane));
  for (const each of lanes) if (each.status === 'rejected') throw each.reason;
  return results;
}
