/** Fires when nothing happened for a while in which something was due. */
export class ProgressTimer {
  readonly #onStall: (waitedMs: number) => void;
  #timer: NodeJS.Timeout | undefined;
  #waiting = false;

  constructor(onStall: (waitedMs: number) => void) {
    this.#onStall = onStall;
  }

  /** Waits from now on, that long. */
  start(ms: number): void {
    this.stop();
    this.#waiting = true;
    this.#timer = setTimeout(() => {
      if (this.#waiting) this.#onStall(ms);
    }, ms).unref();
  }

  /** Something happened; the next thing is due. */
  progress(): void {
    this.#waiting = true;
    this.#timer?.refresh();
  }

  /** Nothing is due. */
  pause(): void {
    this.#waiting = false;
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
  }
}
