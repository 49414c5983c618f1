import { constants, createZstdCompress, createZstdDecompress } from 'node:zlib';
import { type Compressor, KeyframeError } from '@keyframe/contracts';
import { CoderPool } from './coder.ts';
import { frameContentBytes, frameLength } from './frame.ts';

export interface ZstdOptions {
  /** 1 to 19, or -7 to -2. Default 1: on real WAL and heap it is smaller and quicker than zstd's own default 3. */
  readonly level: number;
}

/** More than the header, the checksum and the block headers of a frame that could not be made smaller. */
const SPARE = 8 * 1024;
/** Buffers that several frames share: one made for each, of the size of its content, would busy the garbage collector. */
const SHARED_BYTES = 1 << 20;
/** What zstd itself wants as room to work without a buffer of its own. */
const boundOf = (sizeBytes: number): number => sizeBytes + (sizeBytes >> 8) + SPARE;
/** Each write is a whole frame: it gets its content size from that. */
const flush = constants.ZSTD_e_end;

/**
 * Frames by streams of node:zlib, which work in the thread pool. Never `nbWorkers`: with it a stream hangs or breaks
 * (nodejs/node#59899).
 */
export function createZstdCompressor({ level }: ZstdOptions): Compressor {
  const params = {
    [constants.ZSTD_c_compressionLevel]: level,
    // Without it a flipped bit can decode to other data.
    [constants.ZSTD_c_checksumFlag]: 1,
  };
  const writers = new CoderPool({
    make: (chunkSize) => createZstdCompress({ params, flush, chunkSize }),
    sharedBytes: SHARED_BYTES,
  });
  const readers = new CoderPool({ make: (chunkSize) => createZstdDecompress({ flush, chunkSize }) });
  return {
    id: 'zstd',
    async compress(plain) {
      const bound = boundOf(plain.length);
      const frame = firstFrame(await writers.run(plain, bound, bound));
      // The frame says how much it holds, so a write that was cut into several frames is noticed here, not at a restore.
      if (frameLength(frame) === frame.length && frameContentBytes(frame) === plain.length) return frame;
      throw new KeyframeError('INTERNAL', `zstd made no single frame of ${plain.length} bytes`);
    },
    async decompress(frame, sizeBytes) {
      // Node decodes the first frame and drops what follows without a word, so the end is checked here.
      if (frameLength(frame) !== frame.length) throw damaged(sizeBytes, 'it is not exactly one frame');
      const plain = await readers.run(frame, sizeBytes, sizeBytes).catch((cause: unknown) => {
        throw damaged(sizeBytes, 'it does not decode', cause);
      });
      if (plain.length !== sizeBytes) throw damaged(sizeBytes, `it holds ${plain.length} bytes`);
      return plain;
    },
    async close() {
      writers.close();
      readers.close();
    },
  };
}

/**
 * A frame that ends exactly where the output buffer does looks unfinished to node:zlib: it calls zstd once more, which ends
 * one more frame, of nothing. That one is taken off.
 */
function firstFrame(output: Buffer): Buffer {
  const length = frameLength(output);
  if (length === undefined || length === output.length) return output;
  const rest = output.subarray(length);
  return frameLength(rest) === rest.length && frameContentBytes(rest) === 0 ? output.subarray(0, length) : output;
}

function damaged(sizeBytes: number, why: string, cause?: unknown): KeyframeError {
  return new KeyframeError('CORRUPT', `zstd frame of ${sizeBytes} bytes is damaged: ${why}`, { cause });
}
