/** Bridges between Node streams, buffers and {@link ByteStream}. @packageDocumentation */
import { pipeline, type Transform } from 'node:stream';
import type { ByteSource, ByteStream, ByteTransform } from './bytes.ts';
import { KeyframeError } from './errors.ts';

/** Turns a Node transform (zlib, crypto) into a {@link ByteTransform}. One transform is made per use. */
export function fromTransform(make: () => Transform): ByteTransform {
  return async function* (input) {
    const output = make();
    // The callback is required; a fault destroys `output`, so the loop below throws it.
    pipeline(input, output, () => undefined);
    yield* output as AsyncIterable<Uint8Array>;
  };
}

/** Applies transforms left to right. */
export function through(input: ByteStream, ...transforms: readonly ByteTransform[]): ByteStream {
  return transforms.reduce((stream, transform) => transform(stream), input);
}

/** A source over buffers already in memory. They must not change until the last reader is done. */
export function bytesOf(...chunks: readonly Uint8Array[]): ByteSource {
  return {
    sizeBytes: chunks.reduce((sum, chunk) => sum + chunk.length, 0),
    open: async function* () {
      for (const chunk of chunks) if (chunk.length > 0) yield chunk;
    },
  };
}

/** A source over the UTF-8 bytes of a text. */
export function textOf(text: string): ByteSource {
  return bytesOf(Buffer.from(text));
}

/** Reads a stream to its end into one buffer. For small objects: the whole content is held in memory. */
export async function drain(stream: ByteStream): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

/**
 * Opens a source and holds it to its word: a stream of another length than `sizeBytes` ends in a fault, so that no
 * store keeps half an object.
 * @throws {KeyframeError} CORRUPT
 */
export async function* openExact(source: ByteSource): ByteStream {
  const { sizeBytes } = source;
  let seen = 0;
  for await (const chunk of source.open()) {
    seen += chunk.length;
    if (sizeBytes !== undefined && seen > sizeBytes) break;
    yield chunk;
  }
  if (sizeBytes !== undefined && seen !== sizeBytes)
    throw new KeyframeError(
      'CORRUPT',
      `the source gave ${seen > sizeBytes ? 'more than' : seen} of ${sizeBytes} bytes`,
    );
}

/** Passes chunks on until `signal` aborts, then rejects with its reason at once, even while the input keeps us waiting. */
export async function* abortable(input: ByteStream, signal: AbortSignal | undefined): ByteStream {
  if (signal === undefined) {
    yield* input;
    return;
  }
  const iterator = input[Symbol.asyncIterator]();
  let fail: ((reason: unknown) => void) | undefined;
  let waiting = false;
  const onAbort = (): void => fail?.(signal.reason);
  signal.addEventListener('abort', onAbort);
  try {
    for (;;) {
      signal.throwIfAborted();
      waiting = true;
      const next = await new Promise<IteratorResult<Uint8Array>>((resolve, reject) => {
        fail = reject;
        iterator.next().then(resolve, reject);
      });
      waiting = false;
      if (next.done === true) return;
      yield next.value;
    }
  } finally {
    signal.removeEventListener('abort', onAbort);
    const released = iterator.return?.();
    // An input stuck in its own wait cannot be released before that ends.
    if (waiting) released?.catch(() => undefined);
    else await released;
  }
}
