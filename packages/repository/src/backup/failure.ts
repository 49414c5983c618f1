/** The first fault of a job with many hands. Everybody stops at it, and it is what the caller gets to see. */
export class Failure {
  /** Aborts with the first fault. */
  readonly signal: AbortSignal;
  readonly #controller = new AbortController();

  constructor(outer: AbortSignal | undefined) {
    // `any` holds nothing of ours from the outer signal, which may live as long as an agent does.
    this.signal = AbortSignal.any([this.#controller.signal, ...(outer === undefined ? [] : [outer])]);
  }

  fail(reason: unknown): void {
    this.#controller.abort(reason);
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
