import { promisify } from 'node:util';
import { constants, zstdCompress, zstdDecompress, type ZstdOptions as NodeOptions } from 'node:zlib';
import { type Compressor, KeyframeError } from '@keyframe/contracts';
import { frameLength } from './frame.ts';

const compress: (data: Uint8Array, options: NodeOptions) => Promise<Buffer> = promisify(zstdCompress);
const decompress: (data: Uint8Array, options: NodeOptions) => Promise<Buffer> = promisify(zstdDecompress);

/** Options as the compressor takes them. */
export interface ZstdOptions {
  /** 1 to 19, or -7 to -2. Default 1: on real WAL and heap it is smaller and quicker than zstd's own default 3. */
  readonly level: number;
}

/** Room for incompressible data and for a last call that writes nothing, so that one chunk takes the whole output. */
const SPARE = 8 * 1024;

/**
 * Frames by the one-shot calls of node:zlib, which work in the thread pool. Never `nbWorkers`: with it the one-shot
 * form returns an empty buffer (nodejs/node#59899).
 */
export function createZstdCompressor({ level }: ZstdOptions): Compressor {
  const params = {
    [constants.ZSTD_c_compressionLevel]: level,
    // Without it a flipped bit can decode to other data.
    [constants.ZSTD_c_checksumFlag]: 1,
  };
  return {
    id: 'zstd',
    compress: (frame) =>
      compress(frame, { params, pledgedSrcSize: frame.length, chunkSize: frame.length + (frame.length >> 8) + SPARE }),
    async decompress(frame, sizeBytes) {
      // Node decodes the first frame and drops what follows without a word, so the end is checked here.
      if (frameLength(frame) !== frame.length) throw damaged(sizeBytes, 'it is not exactly one frame');
      const plain = await decompress(frame, {
        chunkSize: sizeBytes + SPARE,
        maxOutputLength: Math.max(sizeBytes, 1),
      }).catch((cause: unknown) => {
        throw damaged(sizeBytes, 'it does not decode', cause);
      });
      if (plain.length !== sizeBytes) throw damaged(sizeBytes, `it holds ${plain.length} bytes`);
      return plain;
    },
  };
}

function damaged(sizeBytes: number, why: string, cause?: unknown): KeyframeError {
  return new KeyframeError('CORRUPT', `zstd frame of ${sizeBytes} bytes is damaged: ${why}`, { cause });
}
