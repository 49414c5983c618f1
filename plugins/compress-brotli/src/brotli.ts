import {
  brotliCompress,
  type BrotliDecompress,
  brotliDecompress,
  type BrotliOptions,
  constants,
  crc32,
} from 'node:zlib';
import { type Compressor, KeyframeError } from '@keyframe/contracts';

/** Options as the compressor takes them. */
export interface BrotliCompressorOptions {
  /** 0 to 11. Default 4. */
  readonly quality: number;
}

/** CRC-32 of the content, little-endian, after the stream: Brotli itself checks nothing. */
const TRAILER_BYTES = 4;
/** Room for incompressible data, so that one chunk takes the whole output. */
const SPARE = 8 * 1024;

/** Frames by the one-shot calls of node:zlib, which work in the thread pool. */
export function createBrotliCompressor({ quality }: BrotliCompressorOptions): Compressor {
  return {
    id: 'brotli',
    async compress(frame) {
      const params = { [constants.BROTLI_PARAM_QUALITY]: quality, [constants.BROTLI_PARAM_SIZE_HINT]: frame.length };
      const packed = await deflate(frame, { params, chunkSize: frame.length + (frame.length >> 8) + SPARE });
      const trailer = Buffer.alloc(TRAILER_BYTES);
      trailer.writeUInt32LE(crc32(frame));
      return Buffer.concat([packed, trailer]);
    },
    async decompress(frame, sizeBytes) {
      if (frame.length <= TRAILER_BYTES) throw damaged(sizeBytes, 'it is cut off');
      const plain = await inflate(frame.subarray(0, -TRAILER_BYTES), sizeBytes);
      const trailer = Buffer.from(frame.buffer, frame.byteOffset + frame.length - TRAILER_BYTES, TRAILER_BYTES);
      if (plain.length !== sizeBytes) throw damaged(sizeBytes, `it holds ${plain.length} bytes`);
      if (trailer.readUInt32LE() !== crc32(plain)) throw damaged(sizeBytes, 'its CRC does not match');
      return plain;
    },
  };
}

function deflate(frame: Uint8Array, options: BrotliOptions): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    brotliCompress(frame, options, (error, packed) => (error === null ? resolve(packed) : reject(error)));
  });
}

/** Node decodes the first of several streams and drops what follows without a word, so the end is checked here. */
function inflate(stream: Uint8Array, sizeBytes: number): Promise<Buffer> {
  const options: BrotliOptions = {
    chunkSize: sizeBytes + SPARE,
    maxOutputLength: Math.max(sizeBytes, 1),
    info: true,
  };
  return new Promise((resolve, reject) => {
    brotliDecompress(stream, options, (cause, result: unknown) => {
      if (cause !== null) return reject(damaged(sizeBytes, 'it does not decode', cause));
      if (isDetailed(result) && result.engine.bytesWritten === stream.length) return resolve(result.buffer);
      return reject(damaged(sizeBytes, 'more follows its end'));
    });
  });
}

/** What `info: true` makes of the result; Node's types know only the buffer. */
function isDetailed(result: unknown): result is { buffer: Buffer; engine: BrotliDecompress } {
  return typeof result === 'object' && result !== null && 'buffer' in result && 'engine' in result;
}

function damaged(sizeBytes: number, why: string, cause?: unknown): KeyframeError {
  return new KeyframeError('CORRUPT', `brotli frame of ${sizeBytes} bytes is damaged: ${why}`, { cause });
}
