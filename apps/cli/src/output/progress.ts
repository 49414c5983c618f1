/** Progress of long work, for people. @packageDocumentation */
import { formatDuration, formatSize } from '@keyframe/runtime/units';
import type { Talk } from './talk.ts';

/** What a {@link ProgressTask} counts. */
export interface ProgressOptions {
  readonly total?: number | undefined;
  /** Default `bytes`. */
  readonly unit?: 'bytes' | 'items';
}

/** One piece of work whose progress is shown. */
export interface ProgressTask {
  /** Cheap; call as often as you like. `totalDone` and `total` are in the task's unit. */
  update(totalDone: number, total?: number): void;
  /** Replaces the words after the figures, e.g. the WAL file or the LSN being replayed. */
  note(text: string): void;
  /** Ends the line. Called again: does nothing. */
  finish(): void;
}

/** Makes progress lines on stderr: one that is rewritten on a terminal, plain lines every few seconds elsewhere. */
export interface Progress {
  task(label: string, options?: ProgressOptions): ProgressTask;
}

/** Where lines go, and how often. */
export interface ProgressContext {
  readonly talk: Talk;
  /** True: nothing is shown. */
  readonly silent: boolean;
  /** Milliseconds of a clock that never goes back. */
  readonly now: () => number;
}

const TERMINAL_EVERY_MS = 100;
const PLAIN_EVERY_MS = 5000;
/** The rate is that of the last so many milliseconds. */
const RATE_WINDOW_MS = 10_000;

/** @see Progress */
export function createProgress({ talk, silent, now }: ProgressContext): Progress {
  if (silent) return { task: () => ({ update: () => undefined, note: () => undefined, finish: () => undefined }) };
  return {
    task: (label, options = {}) => {
      const meter = new Meter(label, options, now);
      const everyMs = talk.isTerminal ? TERMINAL_EVERY_MS : PLAIN_EVERY_MS;
      let shownAt = talk.isTerminal ? Number.NEGATIVE_INFINITY : now();
      let isOpen = true;
      const show = (): void => {
        if (!isOpen || now() - shownAt < everyMs) return;
        shownAt = now();
        if (talk.isTerminal) talk.status(meter.text());
        else talk.line(meter.text());
      };
      // Without news the line still says so: the rate falls and the time runs.
      const timer = setInterval(show, everyMs);
      timer.unref();
      return {
        update: (done, total) => {
          meter.update(done, total);
          show();
        },
        note: (text) => {
          meter.note = text;
          show();
        },
        finish: () => {
          if (!isOpen) return;
          isOpen = false;
          clearInterval(timer);
          if (talk.isTerminal) talk.status('');
          talk.line(meter.summary());
        },
      };
    },
  };
}

class Meter {
  note = '';
  readonly #label: string;
  readonly #unit: 'bytes' | 'items';
  readonly #now: () => number;
  readonly #startedAt: number;
  #done = 0;
  #total: number | undefined;
  #samples: { readonly at: number; readonly done: number }[];

  constructor(label: string, { total, unit = 'bytes' }: ProgressOptions, now: () => number) {
    this.#label = label;
    this.#unit = unit;
    this.#total = total;
    this.#now = now;
    this.#startedAt = now();
    this.#samples = [{ at: this.#startedAt, done: 0 }];
  }

  update(done: number, total: number | undefined): void {
    this.#done = done;
    if (total !== undefined) this.#total = total;
    const at = this.#now();
    const last = this.#samples.at(-1);
    if (last !== undefined && at - last.at < TERMINAL_EVERY_MS) return;
    this.#samples.push({ at, done });
    // One sample older than the window stays: it is where the window begins.
    while ((this.#samples[1]?.at ?? at) < at - RATE_WINDOW_MS) this.#samples.shift();
  }

  text(): string {
    const [first] = this.#samples;
    const elapsed = this.#now() - (first?.at ?? 0);
    const rate = elapsed > 0 ? ((this.#done - (first?.done ?? 0)) / elapsed) * 1000 : 0;
    const left = this.#total === undefined || rate <= 0 ? undefined : ((this.#total - this.#done) / rate) * 1000;
    const parts = [this.#amount(), `${this.#format(rate)}/s`];
    if (left !== undefined && left > 0) parts.push(`ETA ${formatDuration(left)}`);
    if (this.note !== '') parts.push(this.note);
    return `${this.#label}: ${parts.join(', ')}`;
  }

  summary(): string {
    const elapsed = this.#now() - this.#startedAt;
    const rate = elapsed > 0 ? (this.#done / elapsed) * 1000 : 0;
    const speed = rate > 0 ? ` (${this.#format(rate)}/s)` : '';
    return `${this.#label}: ${this.#format(this.#done)} in ${formatDuration(elapsed)}${speed}`;
  }

  #amount(): string {
    if (this.#total === undefined || this.#total <= 0) return this.#format(this.#done);
    // An estimate may be too low; more than all is never shown.
    const percent = Math.min(100, Math.floor((this.#done / this.#total) * 100));
    return `${this.#format(this.#done)} of ${this.#format(Math.max(this.#total, this.#done))} (${percent} %)`;
  }

  #format(value: number): string {
    return this.#unit === 'bytes' ? formatSize(Math.round(value)) : String(Math.round(value * 10) / 10);
  }
}
