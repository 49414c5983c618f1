import { pause } from '../pause.ts';

/** Lets so many bytes pass a second, however many ask. */
export interface RateLimit {
  /** Resolves when those bytes may pass; `undefined` when they may at once. */
  take(bytes: number): Promise<void> | undefined;
}

/** Behind by less nobody waits: a timer is not more exact. */
const SLACK_MS = 5;

/** `undefined` is no limit. */
export function createRateLimit(bytesPerSecond: number | undefined, signal: AbortSignal): RateLimit {
  let freeAt = performance.now();
  return {
    take(bytes) {
      if (bytesPerSecond === undefined) return undefined;
      const at = performance.now();
      freeAt = Math.max(freeAt, at) + (bytes / bytesPerSecond) * 1000;
      return freeAt - at < SLACK_MS ? undefined : pause(freeAt - at, signal);
    },
  };
}
