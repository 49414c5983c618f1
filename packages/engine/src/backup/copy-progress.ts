import type { OnEvent } from '../events.ts';

/** Progress is told at most this often, milliseconds. */
const PROGRESS_EVERY_MS = 200;

/** Counts what was read and tells it now and then. */
export interface CopyProgress {
  /** The server's estimate is made before the copy; a growing cluster passes it. */
  begin(totalBytes: number): void;
  add(bytes: number): void;
  /** What need not be read, since an interrupted backup has stored it. */
  skip(bytes: number): void;
  /** Tells where it stands, whenever it was told last. */
  tell(): void;
}

export function createCopyProgress(onEvent: OnEvent | undefined): CopyProgress {
  let totalBytes = 0;
  let doneBytes = 0;
  let skippedBytes = 0;
  let lastTold = 0;
  const tell = (): void => {
    lastTold = performance.now();
    const skipped = skippedBytes === 0 ? {} : { skippedBytes };
    onEvent?.({ kind: 'bytes', phase: 'copy', doneBytes, totalBytes: Math.max(totalBytes, doneBytes), ...skipped });
  };
  const add = (bytes: number): void => {
    doneBytes += bytes;
    if (performance.now() - lastTold >= PROGRESS_EVERY_MS) tell();
  };
  return {
    begin(total) {
      totalBytes = total;
    },
    add,
    skip(bytes) {
      skippedBytes += bytes;
      add(bytes);
    },
    tell,
  };
}
