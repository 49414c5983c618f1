/**
 * Full-page images: the hole between a page's rows and its line pointers left out, the rest compressed or not.
 * @see RestoreBlockImage() in src/backend/access/transam/xlogreader.c, src/common/pg_lzcompress.c in PostgreSQL and
 * https://github.com/lz4/lz4/blob/dev/doc/lz4_Block_format.md
 * @packageDocumentation
 */
import { zstdDecompressSync } from 'node:zlib';

/** An image as a record holds it. */
export interface StoredImage {
  readonly compression: 'none' | 'pglz' | 'lz4' | 'zstd';
  readonly stored: Uint8Array;
  readonly holeOffset: number;
  readonly holeBytes: number;
}

/** The page with its hole; `undefined` when the image is not one of a page of that size. */
export function restoreImage(image: StoredImage, pageBytes: number): Uint8Array | undefined {
  const { holeOffset, holeBytes } = image;
  const size = pageBytes - holeBytes;
  if (size <= 0 || holeOffset > size) return undefined;
  const packed = expand(image, size);
  if (packed?.length !== size) return undefined;
  const page = new Uint8Array(pageBytes);
  page.set(packed.subarray(0, holeOffset));
  page.set(packed.subarray(holeOffset), holeOffset + holeBytes);
  return page;
}

function expand({ compression, stored }: StoredImage, size: number): Uint8Array | undefined {
  if (compression === 'none') return stored;
  if (compression === 'pglz') return expandPglz(stored, size);
  return compression === 'lz4' ? expandLz4(stored, size) : expandZstd(stored, size);
}

function expandZstd(stored: Uint8Array, size: number): Uint8Array | undefined {
  try {
    return zstdDecompressSync(stored, { maxOutputLength: size });
  } catch (error) {
    // What zlib says of content that is none; anything else would be a fault of ours.
    if (error instanceof Error && 'code' in error) return undefined;
    throw error;
  }
}

/** Copies what was written before to behind it, byte for byte, since the two may overlap. */
function repeat(out: Uint8Array, to: number, distance: number, length: number): boolean {
  if (distance === 0 || distance > to || to + length > out.length) return false;
  for (let at = to; at < to + length; at++) out[at] = out[at - distance] ?? 0;
  return true;
}

/** PostgreSQL's own: a byte of flags, then eight items, each a literal or a tag of distance and length. */
function expandPglz(stored: Uint8Array, size: number): Uint8Array | undefined {
  const out = new Uint8Array(size);
  let from = 0;
  let to = 0;
  for (let item = 0, flags = 0; from < stored.length && to < size; item++, flags >>= 1) {
    if (item % 8 === 0) flags = stored[from++] ?? 0;
    const first = stored[from++] ?? 0;
    if ((flags & 1) === 0) {
      out[to++] = first;
      continue;
    }
    let length = (first & 0x0f) + 3;
    const distance = ((first & 0xf0) << 4) | (stored[from++] ?? 0);
    if (length === 18) length += stored[from++] ?? 0;
    if (from > stored.length || !repeat(out, to, distance, Math.min(length, size - to))) return undefined;
    to += length;
  }
  return to >= size && from === stored.length ? out : undefined;
}

/** A block of LZ4: literals and repetitions in turn, lengths above 14 in further bytes. */
function expandLz4(stored: Uint8Array, size: number): Uint8Array | undefined {
  const out = new Uint8Array(size);
  let from = 0;
  let to = 0;
  const longLength = (length: number): number => {
    let sum = length;
    for (let more = 255; more === 255 && from < stored.length;) {
      more = stored[from++] ?? 0;
      sum += more;
    }
    return sum;
  };
  while (from < stored.length) {
    const token = stored[from++] ?? 0;
    const literals = token >> 4 === 15 ? longLength(15) : token >> 4;
    if (from + literals > stored.length || to + literals > size) return undefined;
    out.set(stored.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from === stored.length) break;
    const distance = (stored[from] ?? 0) | ((stored[from + 1] ?? 0) << 8);
    from += 2;
    const length = ((token & 15) === 15 ? longLength(15) : token & 15) + 4;
    if (from > stored.length || !repeat(out, to, distance, length)) return undefined;
    to += length;
  }
  return to === size ? out : undefined;
}
