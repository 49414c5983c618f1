import type { ByteTransform, Closable } from './bytes.ts';

/**
 * A lossless codec for frames. One frame is compressed and decompressed by itself, so any frame can be read alone.
 * `decompress` must accept what any earlier release of the same compressor wrote.
 */
export interface Compressor extends Closable {
  /** Stored in every frame header: 1 to 8 of `a-z`, `0-9`, `-`. Never reused for another format. */
  readonly id: string;
  /** Compresses one frame off the main thread. The input must stay unchanged until the promise settles; the output is owned by the caller. */
  compress(frame: Uint8Array): Promise<Uint8Array>;
  /**
   * Restores exactly `sizeBytes` bytes. The output is owned by the caller.
   * @throws {KeyframeError} CORRUPT for damaged, cut or over-long input.
   */
  decompress(frame: Uint8Array, sizeBytes: number): Promise<Uint8Array>;
  /** Whole-stream form that the codec's own tool can read, for dumps. Absent when there is none. */
  readonly stream?: { compress(): ByteTransform; decompress(): ByteTransform };
}
