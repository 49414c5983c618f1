import type { OnEvent } from '../events.ts';

/** Progress is told at most this often, milliseconds. */
const PROGRESS_EVERY_MS = 200;

/** Counts what was read and tells it now and then. */
export interface CopyProgress {
  /** The server's estimate is made before the copy; a growing cluster passes it. */
  begin(totalBytes: number): void;
  add(bytes: number): void;
  /** Tells where it stands, whenever it was told last. */
  tell(): void;
}

export function createCopyProgress(onEvent: OnEvent | undefined): CopyProgress {
  let totalBytes = 0;
  let doneBytes = 0;
  let lastTold = 0;
  const tell = (): void => {
    lastTold = performance.now();
    onEvent?.({ kind: 'bytes', phase: 'copy', doneBytes, totalBytes: Math.max(totalBytes, doneBytes) });
  };
  return {
    begin(total) {
      totalBytes = total;
    },
    add(bytes) {
      doneBytes += bytes;
      if (performance.now() - lastTold >= PROGRESS_EVERY_MS) tell();
    },
    tell,
  };
}
