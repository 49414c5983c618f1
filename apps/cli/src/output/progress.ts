/** Progress of long work, for people. @packageDocumentation */

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
  task(label: string, options?: { readonly total?: number; readonly unit?: 'bytes' | 'items' }): ProgressTask;
}
