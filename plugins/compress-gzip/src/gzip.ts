import { crc32, gzip, type InflateRaw, inflateRaw, type ZlibOptions } from 'node:zlib';
import { type Compressor, KeyframeError } from '@keyframe/contracts';

/** Options as the compressor takes them. */
export interface GzipOptions {
  /** 1 to 9. Default 1. */
  readonly level: number;
}

/** Header without name, extra field or comment, as Node writes it. */
const HEADER_BYTES = 10;
/** CRC-32 and size of the content, both little-endian. */
const TRAILER_BYTES = 8;
/** Room for incompressible data, so that one chunk takes the whole output. */
const SPARE = 8 * 1024;

/** Frames by the one-shot calls of node:zlib, which work in the thread pool. */
export function createGzipCompressor({ level }: GzipOptions): Compressor {
  return {
    id: 'gzip',
    compress: (frame) =>
      new Promise((resolve, reject) => {
        const chunkSize = frame.length + (frame.length >> 8) + SPARE;
        gzip(frame, { level, chunkSize }, (error, packed) => (error === null ? resolve(packed) : reject(error)));
      }),
    async decompress(frame, sizeBytes) {
      assertHeader(frame, sizeBytes);
      const plain = await inflate(frame, sizeBytes);
      const trailer = Buffer.from(frame.buffer, frame.byteOffset + frame.length - TRAILER_BYTES, TRAILER_BYTES);
      if (plain.length !== sizeBytes) throw damaged(sizeBytes, `it holds ${plain.length} bytes`);
      if (trailer.readUInt32LE(0) !== crc32(plain) || trailer.readUInt32LE(4) !== sizeBytes % 2 ** 32)
        throw damaged(sizeBytes, 'its CRC does not match');
      return plain;
    },
  };
}

function assertHeader(frame: Uint8Array, sizeBytes: number): void {
  const [first, second, method, flags] = frame;
  const legal = first === 0x1f && second === 0x8b && method === 8 && flags === 0;
  if (!legal || frame.length < HEADER_BYTES + TRAILER_BYTES) throw damaged(sizeBytes, 'it has no gzip header of ours');
}

/** By hand instead of gunzip, which goes on to further members and skips zeros at the end: here exactly one member counts. */
function inflate(frame: Uint8Array, sizeBytes: number): Promise<Buffer> {
  const deflated = frame.subarray(HEADER_BYTES, frame.length - TRAILER_BYTES);
  const options: ZlibOptions = { chunkSize: sizeBytes + SPARE, maxOutputLength: Math.max(sizeBytes, 1), info: true };
  return new Promise((resolve, reject) => {
    inflateRaw(deflated, options, (cause, result: unknown) => {
      if (cause !== null) return reject(damaged(sizeBytes, 'it does not decode', cause));
      if (isDetailed(result) && result.engine.bytesWritten === deflated.length) return resolve(result.buffer);
      return reject(damaged(sizeBytes, 'more follows its end'));
    });
  });
}

/** What `info: true` makes of the result; Node's types know only the buffer. */
function isDetailed(result: unknown): result is { buffer: Buffer; engine: InflateRaw } {
  return typeof result === 'object' && result !== null && 'buffer' in result && 'engine' in result;
}

function damaged(sizeBytes: number, why: string, cause?: unknown): KeyframeError {
  return new KeyframeError('CORRUPT', `gzip frame of ${sizeBytes} bytes is damaged: ${why}`, { cause });
}
