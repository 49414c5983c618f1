/** How long a fault is endured. @packageDocumentation */
import { hasCode, KeyframeError } from '@keyframe/contracts';
import { pause } from '../pause.ts';
import type { PacePolicy } from './pacer.ts';
import type { StallPolicy } from './stall.ts';

/** How long and how often a transient fault is tried again. */
export interface RetryPolicy {
  /** No new attempt starts later than this after the first failure, milliseconds: a long upload is tried again, too. */
  readonly deadlineMs: number;
  /** First pause, milliseconds; doubles up to `maxPauseMs`, each drawn at random between half and the whole (jitter). */
  readonly firstPauseMs: number;
  readonly maxPauseMs: number;
  /** How long a store may go on asking to slow down before that counts as a fault, milliseconds. Default 15 minutes. */
  readonly patienceMs?: number | undefined;
  /** How all calls to the store slow down then. Default: half the rate at each refusal, back to speed in 20 seconds. */
  readonly pace?: PacePolicy | undefined;
  /** When an attempt that moves nothing is given up. Default: after a minute, plus what the bytes under way may need. */
  readonly stall?: StallPolicy | undefined;
  readonly onRetry?: (key: string, attempt: number, cause: unknown) => void;
}

const PATIENCE_MS = 900_000;

/** The faults of one call so far. */
export class Patience {
  readonly #policy: RetryPolicy;
  readonly #key: string;
  readonly #signal: AbortSignal | undefined;
  #attempts = 0;
  #pauseMs: number;
  #deadline: number | undefined;
  #throttledUntil: number | undefined;

  constructor(policy: RetryPolicy, key: string, signal: AbortSignal | undefined) {
    this.#policy = policy;
    this.#key = key;
    this.#signal = signal;
    this.#pauseMs = policy.firstPauseMs;
  }

  /** Resolves when the call may be tried again. @throws the fault, when it may not */
  async endure(error: unknown): Promise<void> {
    // No number of attempts thaws an archived object.
    if (!hasCode(error, 'UNAVAILABLE') || detailOf(error, 'archived') === true) throw error;
    this.#attempts += 1;
    if (isThrottled(error)) {
      this.#wait(error);
      return;
    }
    const { deadlineMs, maxPauseMs, onRetry } = this.#policy;
    const waitMs = this.#pauseMs * (0.5 + Math.random() / 2);
    this.#deadline ??= performance.now() + deadlineMs;
    if (performance.now() + waitMs > this.#deadline) throw error;
    onRetry?.(this.#key, this.#attempts, error);
    this.#pauseMs = Math.min(this.#pauseMs * 2, maxPauseMs);
    await pause(waitMs, this.#signal);
  }

  /** The pause itself is the pacer's: it is the same for all calls. */
  #wait(error: KeyframeError): void {
    const now = performance.now();
    const patienceMs = this.#policy.patienceMs ?? PATIENCE_MS;
    this.#throttledUntil ??= now + patienceMs;
    const next = now + (retryAfterMs(error) ?? 0);
    if (next > this.#throttledUntil)
      throw new KeyframeError(
        'UNAVAILABLE',
        `the store still asks to slow down after ${Math.round(patienceMs / 60_000)} minutes (${this.#key})`,
        {
          cause: error,
          details: error.details,
          hint: 'Raise the request limit of the store, or look at who else uses it; `keyframe check store <name>` measures it.',
        },
      );
    // It answers: what failed before is over.
    this.#deadline = undefined;
    this.#pauseMs = this.#policy.firstPauseMs;
  }
}

/** Whether the store asks to slow down. */
export function isThrottled(error: KeyframeError): boolean {
  return detailOf(error, 'throttled') === true;
}

/** A plugin's own error may have a code and no details. */
function detailOf(error: KeyframeError, name: string): unknown {
  return Reflect.get(Object(error.details), name);
}

/** How long it asks for, where it said so. */
export function retryAfterMs(error: KeyframeError): number | undefined {
  const asked = detailOf(error, 'retryAfterMs');
  return typeof asked === 'number' && asked >= 0 ? asked : undefined;
}
