/**
 * Where an LZ4 frame ends, read from its own headers without decoding it.
 * @see https://github.com/lz4/lz4/blob/dev/doc/lz4_Frame_format.md
 * @packageDocumentation
 */

const MAGIC = 0x18_4d_22_04;
const VERSION_MASK = 0b1100_0000;
const VERSION = 0b0100_0000;
const BLOCK_CHECKSUM = 0b0001_0000;
const CONTENT_SIZE = 0b0000_1000;
const CONTENT_CHECKSUM = 0b0000_0100;
const DICTIONARY_ID = 0b0000_0001;
/** The high bit says that the block is stored as it is. */
const BLOCK_LENGTH = 0x7f_ff_ff_ff;

/** What the headers of a frame tell. */
export interface FrameOutline {
  readonly lengthBytes: number;
  /** No content is larger. */
  readonly maxContentBytes: number;
  /** A checksum of the content stands at the end. */
  readonly isChecked: boolean;
}

/** The frame at the start of `bytes`; `undefined` when it is no frame or is cut off. */
export function outlineFrame(bytes: Uint8Array): FrameOutline | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 7 || view.getUint32(0, true) !== MAGIC) return undefined;
  const [flags, descriptor] = [view.getUint8(4), view.getUint8(5)];
  if ((flags & VERSION_MASK) !== VERSION) return undefined;
  const sizeCode = (descriptor >> 4) & 0b111;
  if (sizeCode < 4) return undefined;
  const blockBytes = 2 ** (8 + 2 * sizeCode);
  const isChecked = (flags & CONTENT_CHECKSUM) !== 0;
  const perBlock = 4 + ((flags & BLOCK_CHECKSUM) === 0 ? 0 : 4);
  let at = 7 + ((flags & CONTENT_SIZE) === 0 ? 0 : 8) + ((flags & DICTIONARY_ID) === 0 ? 0 : 4);
  for (let blocks = 0; at + 4 <= bytes.length; blocks += 1) {
    const length = view.getUint32(at, true) & BLOCK_LENGTH;
    if (length === 0) {
      const lengthBytes = at + 4 + (isChecked ? 4 : 0);
      if (lengthBytes > bytes.length) return undefined;
      return { lengthBytes, maxContentBytes: blocks * blockBytes, isChecked };
    }
    at += perBlock + length;
  }
  return undefined;
}
