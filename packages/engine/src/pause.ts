import { setTimeout as sleep } from 'node:timers/promises';

/** Waits. An abort ends it with the signal's own reason; the timer by itself would say no more than `AbortError`. */
export async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  try {
    await sleep(milliseconds, undefined, { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw error;
  }
}
