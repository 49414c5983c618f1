/**
 * What runs in a thread of `hash-threads.ts`: reads ranges of files and compares their keyed hashes. Everything here is
 * synchronous: the bytes of a range stay in the cache of one core from the read to the hash, and cross no thread.
 * @packageDocumentation
 */
import { closeSync, constants, openSync, readSync } from 'node:fs';
import { parentPort, workerData } from 'node:worker_threads';
import { contentHash, hashingKey } from '../format/content-hash.ts';

/** Ranges of one file, and what they should hold. */
export interface HashedRanges {
  readonly path: string;
  readonly offsets: readonly number[];
  readonly sizes: readonly number[];
  readonly hashes: readonly Uint8Array[];
}

/** What a thread answers: for each range of each file, in order, whether it holds that; or why it cannot tell. */
export type HashAnswer = { readonly held: Uint8Array } | { readonly fault: unknown; readonly fields: object };

const contentKey = hashingKey((workerData as { readonly contentKey: Uint8Array }).contentKey);
let buffer = Buffer.allocUnsafeSlow(256 << 10);

parentPort?.on('message', (files: readonly HashedRanges[]) => {
  let answer: HashAnswer;
  try {
    answer = { held: Uint8Array.from(files.flatMap(compare)) };
  } catch (error) {
    // A structured clone of an error loses the code and the path that say which file of which kind of fault.
    answer = { fault: error, fields: { ...(error as NodeJS.ErrnoException) } };
  }
  parentPort?.postMessage(answer);
});
// It has come up.
parentPort?.postMessage({ held: new Uint8Array() } satisfies HashAnswer);

function compare({ path, offsets, sizes, hashes }: HashedRanges): number[] {
  const fd = openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW);
  try {
    return hashes.map((hash, at) => {
      const range = read(fd, offsets[at] ?? 0, sizes[at] ?? 0);
      return range !== undefined && contentHash(contentKey, range).equals(hash) ? 1 : 0;
    });
  } finally {
    closeSync(fd);
  }
}

/** Undefined where the file ends early. */
function read(fd: number, offset: number, sizeBytes: number): Buffer | undefined {
  if (buffer.length < sizeBytes) buffer = Buffer.allocUnsafeSlow(sizeBytes);
  for (let at = 0; at < sizeBytes;) {
    const bytes = readSync(fd, buffer, at, sizeBytes - at, offset + at);
    if (bytes === 0) return undefined;
    at += bytes;
  }
  return buffer.subarray(0, sizeBytes);
}
