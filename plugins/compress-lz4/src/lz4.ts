import { type Compressor, KeyframeError } from '@keyframe/contracts';
import { outlineFrame } from './frame.ts';

/** The largest block of the format: a frame may end in one that is nearly empty. */
const BLOCK_BYTES = 4 << 20;

/** Frames as the `lz4` program reads and writes them, made in the thread pool. */
export function createLz4Compressor(): Compressor {
  return {
    id: 'lz4',
    async compress(plain) {
      const { compressFrame } = await import('lz4-napi');
      // Without it a flipped bit can decode to other data.
      return compressFrame(plain, { contentChecksum: true });
    },
    async decompress(frame, sizeBytes) {
      assertFrame(frame, sizeBytes);
      const { decompressFrame } = await import('lz4-napi');
      const plain = await decompressFrame(frame).catch((cause: unknown) => {
        throw damaged(sizeBytes, 'it does not decode', cause);
      });
      if (plain.length !== sizeBytes) throw damaged(sizeBytes, `it holds ${plain.length} bytes`);
      return plain;
    },
  };
}

/** The library decodes whatever comes, to whatever size: what is more than asked for must be seen before. */
function assertFrame(frame: Uint8Array, sizeBytes: number): void {
  const outline = outlineFrame(frame);
  if (outline?.lengthBytes !== frame.length) throw damaged(sizeBytes, 'it is not exactly one frame');
  if (!outline.isChecked) throw damaged(sizeBytes, 'it has no checksum');
  if (outline.maxContentBytes > sizeBytes + BLOCK_BYTES) throw damaged(sizeBytes, 'it can hold far more');
}

function damaged(sizeBytes: number, why: string, cause?: unknown): KeyframeError {
  return new KeyframeError('CORRUPT', `lz4 frame of ${sizeBytes} bytes is damaged: ${why}`, { cause });
}
