/** The first fault of a job with many hands. Everybody stops at it, and it is what the caller gets to see. */
export class Failure {
  readonly #controller = new AbortController();

  constructor(outer: AbortSignal | undefined) {
    if (outer?.aborted === true) this.fail(outer.reason);
    else outer?.addEventListener('abort', () => this.fail(outer.reason), { once: true });
  }

  /** Aborts with the first fault. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  fail(reason: unknown): void {
    if (!this.signal.aborted) this.#controller.abort(reason);
  }

  /** Throws the first fault, if there is one. */
  check(): void {
    this.signal.throwIfAborted();
  }

  /** Runs work in the background; its fault is everybody's. The promise never rejects. */
  async watch(work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      this.fail(error);
    }
  }
}
