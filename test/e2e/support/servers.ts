import { setTimeout as sleep } from 'node:timers/promises';

/** Stops a server that a command started and left running, by its pid, and waits for its end. */
export async function stopServer(pid: number): Promise<void> {
  if (!signal(pid, 'SIGINT')) return;
  for (let waited = 0; signal(pid, 0); waited += 20) {
    if (waited > 20_000) throw new Error(`server ${pid} does not stop`);
    await sleep(20);
  }
}

/** False when there is no such process. */
function signal(pid: number, name: 'SIGINT' | 0): boolean {
  try {
    return process.kill(pid, name);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
    throw error;
  }
}

/** Repeats until it does not throw any more; the last fault when the time is up. */
export async function eventually<Value>(attempt: () => Promise<Value>, timeoutMs = 20_000): Promise<Value> {
  const deadline = performance.now() + timeoutMs;
  for (;;) {
    try {
      return await attempt();
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(200);
    }
  }
}
