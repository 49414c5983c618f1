/** What both standard streams are to us; a test gives its own. */
export interface OutputStream {
  readonly isTTY?: boolean | undefined;
  readonly columns?: number | undefined;
  write(text: string): unknown;
}

const ERASE_LINE = '\r\u001B[2K';

/** Lines on stderr, and at most one status line below them that is rewritten in place. */
export class Talk {
  readonly #stream: OutputStream;
  #status = '';

  constructor(stream: OutputStream) {
    this.#stream = stream;
  }

  get isTerminal(): boolean {
    return this.#stream.isTTY === true;
  }

  line(text: string): void {
    this.#stream.write(this.#status === '' ? `${text}\n` : `${ERASE_LINE}${text}\n${this.#status}`);
  }

  /** Replaces the status line; an empty text removes it. For terminals only. */
  status(text: string): void {
    // A line that wraps cannot be erased.
    const fitting = text.slice(0, Math.max(10, (this.#stream.columns ?? 80) - 1));
    if (fitting === this.#status) return;
    this.#stream.write(`${this.#status === '' ? '' : ERASE_LINE}${fitting}`);
    this.#status = fitting;
  }
}
