import { KeyframeError } from '@keyframe/contracts';
import type { BaseMap, BasePiece } from './base-map.ts';
import type { Reuse } from './reuse.ts';
import type { StoredRange } from './writer.ts';

/** A range of an unfinished backup, with the places of its bytes and what they are. */
export class FoundRange implements StoredRange {
  readonly label: string;
  readonly fileOffset: number;
  readonly sizeBytes: number;
  readonly hash: Uint8Array;
  readonly pieces: readonly BasePiece[];

  constructor(place: StoredRange, hash: Uint8Array, pieces: readonly BasePiece[]) {
    this.label = place.label;
    this.fileOffset = place.fileOffset;
    this.sizeBytes = place.sizeBytes;
    this.hash = hash;
    this.pieces = pieces;
  }
}

/**
 * The windows of a file that unfinished backups have whole. Only those of which a pack tells the content: they were written
 * by one look at the file, and nobody found them damaged.
 */
export function rangesOf(
  maps: readonly BaseMap[],
  { sizeBytes, windowBytes }: { readonly sizeBytes: number; readonly windowBytes: number },
  reuse: Reuse,
): FoundRange[] {
  const found: FoundRange[] = [];
  for (let fileOffset = 0; fileOffset < sizeBytes; fileOffset += windowBytes) {
    const length = Math.min(windowBytes, sizeBytes - fileOffset);
    for (const map of maps) {
      const hash = map.unfinished === undefined ? undefined : map.hashOf(fileOffset, length);
      if (map.unfinished === undefined || hash === undefined) continue;
      const pieces = map.pieces(fileOffset, fileOffset + length);
      const place = { label: map.unfinished, fileOffset, sizeBytes: length };
      if (reuse.isSound(pieces, fileOffset, length)) found.push(new FoundRange(place, hash, pieces));
    }
  }
  return found;
}

/** The range as the sink told of it. @throws {KeyframeError} INTERNAL for one of somewhere else */
export function foundAt(range: StoredRange, fileOffset: number): FoundRange {
  if (range instanceof FoundRange && range.fileOffset === fileOffset) return range;
  throw new KeyframeError('INTERNAL', `a range of byte ${range.fileOffset} was given for byte ${fileOffset}`);
}
