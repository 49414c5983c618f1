/**
 * How fast a store is asked. A store that says "slow down" slows all calls of this process to it, and is asked faster again
 * little by little (additive increase, multiplicative decrease).
 *
 * Calls are paced by when they start and never held back by how many are under way: a put may read from the same store while
 * it writes, and a limit on calls under way could then wait for itself.
 * @packageDocumentation
 */
import { pause } from '../pause.ts';

/** What a pacer tells whoever listens. */
export type PaceEvent =
  /** Calls start at this rate from now on, and none before `pauseMs` are over. */
  | { readonly kind: 'slower'; readonly perSecond: number; readonly pauseMs: number }
  /** The store has taken for a while what it is asked: nothing is held back any more. */
  | { readonly kind: 'free' };

/** Limits and steps of a pacer. */
export interface PacePolicy {
  /** Pause after a refusal that names none, milliseconds; doubles up to `maxPauseMs` while nothing succeeds. */
  readonly firstPauseMs: number;
  readonly maxPauseMs: number;
  /** Slowest rate, calls a second. */
  readonly minPerSecond: number;
  /** Seconds until the rate from before a refusal is reached again. */
  readonly recoverySeconds: number;
  readonly onEvent?: ((event: PaceEvent) => void) | undefined;
}

/** From half a second to half a minute between refusals, one call in two seconds at least, back to speed in 20 seconds. */
export const DEFAULT_PACE: PacePolicy = {
  firstPauseMs: 500,
  maxPauseMs: 30_000,
  minPerSecond: 0.5,
  recoverySeconds: 20,
};

/** A rate this many times that of before the refusal is no limit any more; nor is one that no timer is fine enough for. */
const FREE_AT = 4;
const MAX_PER_SECOND = 1_000;

/** Decides when the next call may start. One for each store, for all calls of the process. */
export class Pacer {
  readonly #policy: PacePolicy;
  /** Calls a second; `undefined` while the store has not asked to slow down. */
  #perSecond: number | undefined;
  /** The rate at which the store first refused. */
  #refusedAt = 0;
  /** No call before this. */
  #closedUntil = 0;
  #lastStart = 0;
  #lastCut = -Infinity;
  #refusals = 0;
  #turn: Promise<unknown> | undefined;
  /** Starts in this second and in the one before it. */
  #second = 0;
  #starts: readonly [current: number, before: number] = [0, 0];

  constructor(policy: PacePolicy = DEFAULT_PACE) {
    this.#policy = policy;
  }

  /** Waits for its turn. Gives the time of the start, which the outcome is told with. */
  async start(signal: AbortSignal | undefined): Promise<number> {
    if (this.#turn !== undefined || this.#waitMs() > 0) await this.#queue(signal);
    const now = performance.now();
    this.#count(now);
    return now;
  }

  /** The call that started then went well. */
  succeeded(startedAt: number): void {
    if (this.#perSecond === undefined || startedAt <= this.#lastCut) return;
    this.#refusals = 0;
    // So much for each success that the old rate is reached in `recoverySeconds`.
    this.#perSecond += this.#refusedAt / (this.#policy.recoverySeconds * Math.max(this.#perSecond, 1));
    if (this.#perSecond < Math.min(this.#refusedAt * FREE_AT, MAX_PER_SECOND)) return;
    this.#perSecond = undefined;
    this.#policy.onEvent?.({ kind: 'free' });
  }

  /** The call that started then was refused. Of calls that were under way together only the first slows down. */
  throttled(startedAt: number, retryAfterMs: number | undefined): void {
    const now = performance.now();
    const { firstPauseMs, maxPauseMs, minPerSecond } = this.#policy;
    if (retryAfterMs !== undefined) this.#closedUntil = Math.max(this.#closedUntil, now + retryAfterMs);
    if (startedAt <= this.#lastCut) return;
    const before = this.#perSecond ?? this.#measured(now);
    if (this.#perSecond === undefined) this.#refusedAt = Math.max(before, minPerSecond);
    this.#perSecond = Math.max(Math.min(before, MAX_PER_SECOND) / 2, minPerSecond);
    const own = Math.min(firstPauseMs * 2 ** this.#refusals, maxPauseMs) * (0.5 + Math.random() / 2);
    this.#closedUntil = Math.max(this.#closedUntil, now + (retryAfterMs ?? own));
    this.#refusals += 1;
    this.#lastCut = now;
    this.#policy.onEvent?.({ kind: 'slower', perSecond: this.#perSecond, pauseMs: this.#closedUntil - now });
  }

  /** First come, first served. Who gives up leaves at once, and does not keep those behind. */
  #queue(signal: AbortSignal | undefined): Promise<void> {
    return new Promise((resolve, reject) => {
      const leave = (): void => reject(signal?.reason as unknown);
      signal?.addEventListener('abort', leave);
      const turn = (this.#turn ?? Promise.resolve())
        .then(() => this.#gate(signal))
        .then(resolve, reject)
        .finally(() => {
          signal?.removeEventListener('abort', leave);
          if (this.#turn === turn) this.#turn = undefined;
        });
      this.#turn = turn;
    });
  }

  /** Waits as long as needed, also when the wait grows meanwhile. */
  async #gate(signal: AbortSignal | undefined): Promise<void> {
    for (;;) {
      signal?.throwIfAborted();
      const waitMs = this.#waitMs();
      if (waitMs <= 0) break;
      await pause(waitMs, signal);
    }
    this.#lastStart = performance.now();
  }

  #waitMs(): number {
    const spaced = this.#perSecond === undefined ? 0 : this.#lastStart + 1_000 / this.#perSecond;
    return Math.max(this.#closedUntil, spaced) - performance.now();
  }

  #count(now: number): void {
    const second = Math.floor(now / 1_000);
    const [current, before] = this.#starts;
    if (second === this.#second) this.#starts = [current + 1, before];
    else this.#starts = [1, second === this.#second + 1 ? current : 0];
    this.#second = second;
    this.#lastStart = now;
  }

  /** Calls a second, of late. */
  #measured(now: number): number {
    const [current, before] = this.#starts;
    const share = Math.max((now % 1_000) / 1_000, 0.1);
    return Math.max(before, current / share, 1);
  }
}
