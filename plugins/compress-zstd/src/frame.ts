/**
 * Where a zstd frame ends, read from its own headers without decoding it.
 * @see RFC 8878, section 3.1.1
 * @packageDocumentation
 */

const MAGIC = 0xfd_2f_b5_28;
const CONTENT_SIZE_BYTES = [0, 2, 4, 8];
const DICTIONARY_ID_BYTES = [0, 1, 2, 4];
const RLE_BLOCK = 1;

/** How much plain content the frame says it holds; `undefined` when it does not say. */
export function frameContentBytes(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 6 || view.getUint32(0, true) !== MAGIC) return undefined;
  const descriptor = view.getUint8(4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const at = 5 + (singleSegment ? 0 : 1) + (DICTIONARY_ID_BYTES[descriptor & 0x03] ?? 0);
  if (at + 8 > bytes.length && descriptor >> 6 === 3) return undefined;
  switch (descriptor >> 6) {
    case 0:
      return singleSegment ? view.getUint8(at) : undefined;
    case 1:
      return view.getUint16(at, true) + 256;
    case 2:
      return view.getUint32(at, true);
    default:
      return Number(view.getBigUint64(at, true));
  }
}

/** Length in bytes of the frame at the start of `bytes`; `undefined` when it is no frame or is cut off. */
export function frameLength(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 6 || view.getUint32(0, true) !== MAGIC) return undefined;
  const descriptor = view.getUint8(4);
  const singleSegment = (descriptor & 0x20) !== 0;
  const sizeCode = descriptor >> 6;
  const contentSize = sizeCode === 0 && singleSegment ? 1 : (CONTENT_SIZE_BYTES[sizeCode] ?? 0);
  const checksum = (descriptor & 0x04) === 0 ? 0 : 4;
  let at = 5 + (singleSegment ? 0 : 1) + (DICTIONARY_ID_BYTES[descriptor & 0x03] ?? 0) + contentSize;
  for (let last = false; !last;) {
    if (at + 3 > bytes.length) return undefined;
    const block = view.getUint16(at, true) | (view.getUint8(at + 2) << 16);
    last = (block & 1) === 1;
    at += 3 + (((block >> 1) & 3) === RLE_BLOCK ? 1 : block >> 3);
  }
  return at + checksum <= bytes.length ? at + checksum : undefined;
}
