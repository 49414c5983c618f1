/** Bytes in transit. The consumer sets the pace; leaving a `for await` early releases the producer. */
export type ByteStream = AsyncIterable<Uint8Array>;

/** A step between two byte streams: compression, encryption, hashing, counting. Must not buffer the whole input. */
export type ByteTransform = (input: ByteStream) => ByteStream;

/** Bytes that can be read again from the start. A retry re-opens the source; it never resumes a half-read stream. */
export interface ByteSource {
  /** Exact length in bytes; `undefined` when only reading to the end can tell. */
  readonly sizeBytes: number | undefined;
  /** A fresh stream from byte 0. A fault while reading is a `KeyframeError`, which every adapter passes on as it is. */
  open(): ByteStream;
}

/** Every operation that can wait takes a signal and rejects with its reason once aborted. */
export interface Abortable {
  readonly signal?: AbortSignal | undefined;
}

/** What every adapter may have. The host calls `close` once, after the last operation; calling it again does nothing. */
export interface Closable {
  close?(): Promise<void>;
}
