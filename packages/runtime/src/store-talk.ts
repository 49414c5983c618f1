/** What is told of a store that cannot do at once what it is asked. @packageDocumentation */
import type { Log } from '@keyframe/contracts';
import { DEFAULT_PACE, DEFAULT_RETRY, type PaceEvent, type RetryPolicy } from '@keyframe/engine/store';

/** A store that asks to slow down again and again is mentioned this often. */
const EVERY_MS = 30_000;

/** Retries and pace of the store of that name, with a line for the operator where it makes us wait. */
export function talkativeRetry(name: string, log: Log): RetryPolicy {
  return {
    ...DEFAULT_RETRY,
    pace: { ...DEFAULT_PACE, onEvent: paceTeller(name, log) },
    // The first, the second, the fourth, the eighth: whoever waits sees that it goes on, and no more.
    onRetry: (key, attempt, cause) => {
      if (!Number.isInteger(Math.log2(attempt))) return;
      log.warn(
        `the store ${name} could not serve ${key}, attempt ${attempt}: ${cause instanceof Error ? cause.message : String(cause)}`,
      );
    },
  };
}

function paceTeller(name: string, log: Log): (event: PaceEvent) => void {
  let told = -Infinity;
  return (event) => {
    if (event.kind === 'free') {
      told = -Infinity;
      log.info(`the store ${name} takes all requests again`);
      return;
    }
    const now = performance.now();
    if (now < told + EVERY_MS) return;
    told = now;
    const { perSecond, pauseMs } = event;
    const rate = perSecond < 10 ? perSecond.toFixed(1) : Math.round(perSecond);
    log.warn(
      `the store ${name} asks to slow down: no request for ${(pauseMs / 1_000).toFixed(1)} s, then ${rate} a second at most`,
    );
  };
}
