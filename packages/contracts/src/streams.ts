/** Bridges between Node streams, buffers and {@link ByteStream}. @packageDocumentation */
import { pipeline, type Transform } from 'node:stream';
import type { ByteSource, ByteStream, ByteTransform } from './bytes.ts';

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
