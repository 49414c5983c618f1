import { webcrypto } from 'node:crypto';
import { CONTENT_HASH_BYTES, contentHash, hashingKey } from '../format/content-hash.ts';
import { type ContentRecord, decodeContents, type ExtentRecord, type ExtentsChunk } from '../format/extents.ts';
import type { Failure } from './failure.ts';
import type { HashedRanges } from './hash-thread.ts';
import { HashThreads } from './hash-threads.ts';
import type { ManifestEntry } from './manifest.ts';
import type { RestoreSink } from './restore-sink.ts';

/** Comparisons at once: as many as read and hash in the thread pool, and as many that wait for it. */
const AT_ONCE = 8;
/** Content up to this is hashed at once: to wait for the thread pool would take longer. */
const HASH_AT_ONCE_BYTES = 64 << 10;
/** What a thread gets at once: some milliseconds of work, each of which costs a message there and one back. */
const BATCH = { ranges: 128, bytes: 8 << 20 } as const;
/** No writer describes longer content in one piece; what does is read from the repository. */
const LARGEST_BYTES = 4 << 20;

/** What {@link findHeld} works with. */
export interface HeldQuestion {
  readonly contentKey: Uint8Array;
  /** Chunks of extents; only what they say of contents is used. */
  readonly chunks: AsyncIterable<ExtentsChunk>;
  /** The file of an ordinal, if it is wanted. */
  readonly wanted: (ordinal: number) => ManifestEntry | undefined;
  readonly read: NonNullable<RestoreSink['read']>;
  readonly path?: RestoreSink['path'];
  /** Whether there is enough to compare to start threads for it. */
  readonly threaded: boolean;
  readonly failure: Failure;
  /** Of the manifest, for errors. */
  readonly key: string;
}

/** Ranges of files that a target was proven to hold already. */
export class HeldContent {
  /** Starts and ends by turns, ascending once sealed, by ordinal. */
  readonly #bounds = new Map<number, number[]>();

  add(ordinal: number, start: number, end: number): void {
    const bounds = this.#bounds.get(ordinal);
    if (bounds === undefined) this.#bounds.set(ordinal, [start, end]);
    else if (bounds.at(-1) === start) bounds[bounds.length - 1] = end;
    else bounds.push(start, end);
  }

  /** Joins what touches or overlaps; call before asking. */
  seal(): void {
    for (const [ordinal, bounds] of this.#bounds) if (bounds.length > 2) this.#bounds.set(ordinal, joined(bounds));
  }

  /** Every held range once. */
  *ranges(): Generator<{ readonly ordinal: number; readonly start: number; readonly end: number }> {
    for (const [ordinal, bounds] of this.#bounds)
      for (let at = 0; at < bounds.length; at += 2) yield { ordinal, start: bounds[at] ?? 0, end: bounds[at + 1] ?? 0 };
  }

  /** What of an extent the target lacks. */
  missing(extent: ExtentRecord): readonly ExtentRecord[] {
    const bounds = this.#bounds.get(extent.ordinal);
    if (bounds === undefined) return [extent];
    const end = extent.fileOffset + extent.sizeBytes;
    const rest: ExtentRecord[] = [];
    let from = extent.fileOffset;
    for (let at = firstEndAfter(bounds, from); at < bounds.length && from < end; at += 2) {
      const [start = 0, stop = 0] = [bounds[at], bounds[at + 1]];
      if (start >= end) break;
      if (start > from) rest.push(cut(extent, from, start));
      from = stop;
    }
    if (from < end) rest.push(cut(extent, from, end));
    return rest;
  }

  /** The same for all extents of a chunk. */
  lacking({ frames, zeros, contents }: ExtentsChunk): ExtentsChunk {
    return {
      frames: frames.map((frame) => ({ ...frame, extents: frame.extents.flatMap((each) => this.missing(each)) })),
      zeros: zeros.flatMap((each) => this.missing(each)),
      contents,
    };
  }
}

/** Compares what the target holds with the hashes that a manifest has of its files. */
export async function findHeld(question: HeldQuestion): Promise<HeldContent> {
  const { failure, contentKey } = question;
  const held = new HeldContent();
  const hashers = question.threaded ? await HashThreads.start(contentKey) : undefined;
  try {
    if (hashers === undefined) await compareHere(question, held);
    else await compareInThreads(question, held, hashers);
  } finally {
    await hashers?.close();
  }
  failure.check();
  held.seal();
  return held;
}

/** Reads through the sink and hashes in the thread pool. */
async function compareHere(question: HeldQuestion, held: HeldContent): Promise<void> {
  const { failure, contentKey } = question;
  const algorithm = { name: 'HMAC', hash: 'SHA-256' };
  const key = await webcrypto.subtle.importKey('raw', Uint8Array.from(contentKey), algorithm, false, ['sign']);
  const atOnce = hashingKey(contentKey);
  const contents = contentsOf(question);
  const compare = async (): Promise<void> => {
    let buffer = Buffer.alloc(0);
    for await (const { file, content } of contents) {
      failure.check();
      if (buffer.length < content.sizeBytes) buffer = Buffer.allocUnsafeSlow(content.sizeBytes);
      const view = buffer.subarray(0, content.sizeBytes);
      if (!(await question.read(file, content.fileOffset, view))) continue;
      const hash = view.length <= HASH_AT_ONCE_BYTES ? contentHash(atOnce, view) : await hashLater(key, view);
      if (hash.equals(content.hash)) held.add(file.ordinal, content.fileOffset, content.fileOffset + view.length);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, () => failure.watch(compare())));
}

/** Leaves the reading to threads. */
async function compareInThreads(question: HeldQuestion, held: HeldContent, threads: HashThreads): Promise<void> {
  const { failure } = question;
  const batches = batchesOf(question);
  const compare = async (): Promise<void> => {
    for await (const batch of batches) {
      failure.check();
      const answer = await threads.compare(batch.map(({ ranges }) => ranges));
      let at = 0;
      for (const { ordinal, ranges } of batch)
        for (const [index, offset] of ranges.offsets.entries())
          if (answer[at++] === 1) held.add(ordinal, offset, offset + (ranges.sizes[index] ?? 0));
    }
  };
  const ended = Promise.all(Array.from({ length: threads.atOnce }, () => failure.watch(compare())));
  const stop = (): void => void threads.close();
  failure.signal.addEventListener('abort', stop, { once: true });
  await ended;
  failure.signal.removeEventListener('abort', stop);
}

interface FileRanges {
  readonly ordinal: number;
  readonly ranges: HashedRanges & {
    readonly offsets: number[];
    readonly sizes: number[];
    readonly hashes: Uint8Array[];
  };
}

/** What of the target is there at all, in portions for a thread. */
async function* batchesOf(question: HeldQuestion): AsyncGenerator<FileRanges[]> {
  let batch: FileRanges[] = [];
  let [count, bytes] = [0, 0];
  for await (const { file, content } of contentsOf(question)) {
    const { fileOffset, sizeBytes, hash } = content;
    const path = question.path?.(file, fileOffset + sizeBytes);
    if (path === undefined) continue;
    let last = batch.at(-1);
    if (last?.ordinal !== file.ordinal)
      batch.push((last = { ordinal: file.ordinal, ranges: { path, offsets: [], sizes: [], hashes: [] } }));
    last.ranges.offsets.push(fileOffset);
    last.ranges.sizes.push(sizeBytes);
    last.ranges.hashes.push(hash);
    [count, bytes] = [count + 1, bytes + sizeBytes];
    if (count < BATCH.ranges && bytes < BATCH.bytes) continue;
    yield batch;
    [batch, count, bytes] = [[], 0, 0];
  }
  if (batch.length > 0) yield batch;
}

async function* contentsOf({
  chunks,
  wanted,
  key,
}: HeldQuestion): AsyncGenerator<{ readonly file: ManifestEntry; readonly content: ContentRecord }> {
  for await (const { contents } of chunks)
    for (const section of contents)
      for (const content of decodeContents(section, key)) {
        const file = wanted(content.ordinal);
        if (file === undefined || content.sizeBytes > LARGEST_BYTES) continue;
        if (content.fileOffset < 0 || content.fileOffset + content.sizeBytes > file.sizeBytes) continue;
        yield { file, content };
      }
}

/** {@link contentHash} in the thread pool. */
async function hashLater(key: webcrypto.CryptoKey, content: Buffer<ArrayBuffer>): Promise<Buffer> {
  return Buffer.from(await webcrypto.subtle.sign('HMAC', key, content)).subarray(0, CONTENT_HASH_BYTES);
}

function cut(extent: ExtentRecord, from: number, to: number): ExtentRecord {
  const skipped = from - extent.fileOffset;
  return { ...extent, fileOffset: from, sizeBytes: to - from, frameOffset: extent.frameOffset + skipped };
}

function joined(bounds: readonly number[]): number[] {
  const pairs = Array.from(
    { length: bounds.length / 2 },
    (_, at) => [bounds[at * 2] ?? 0, bounds[at * 2 + 1] ?? 0] as const,
  );
  const result: number[] = [];
  for (const [start, end] of pairs.toSorted(([one], [other]) => one - other)) {
    const last = result.at(-1);
    if (last === undefined || start > last) result.push(start, end);
    else if (end > last) result[result.length - 1] = end;
  }
  return result;
}

/** Index of the first range that ends after an offset. */
function firstEndAfter(bounds: readonly number[], offset: number): number {
  let low = 0;
  let high = bounds.length / 2;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((bounds[middle * 2 + 1] ?? 0) > offset) high = middle;
    else low = middle + 1;
  }
  return low * 2;
}
