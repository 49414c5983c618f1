import { type ContentRecord, decodeContents, type ExtentsChunk, type FrameRecord } from '../format/extents.ts';
import type { BaseFrame, BaseMapBuilder } from './base-map.ts';
import type { OtherPack } from './pack-table.ts';

const COLUMNS = 5;

/** One chunk of extents, turned so that the ranges of a file are found at once. */
export class ChunkView {
  readonly #frames: BaseFrame[] = [];
  /** ordinal, fileOffset, sizeBytes, index of the frame or -1, frameOffset; sorted by the first. */
  readonly #rows: Float64Array;
  /** Sorted by ordinal. */
  readonly #contents: readonly ContentRecord[];

  constructor({ frames, zeros, contents }: ExtentsChunk, pack: (index: number) => OtherPack, key: string) {
    const rows: [number, number, number, number, number][] = [];
    const alive = liveBytesOf(frames);
    for (const { extents, pack: index, ...frame } of frames) {
      const liveBytes = alive.get(nameOf(index, frame.number)) ?? 0;
      const at = this.#frames.push({ ...frame, pack: pack(index), liveBytes }) - 1;
      for (const each of extents) rows.push([each.ordinal, each.fileOffset, each.sizeBytes, at, each.frameOffset]);
    }
    for (const { ordinal, fileOffset, sizeBytes } of zeros) rows.push([ordinal, fileOffset, sizeBytes, -1, 0]);
    rows.sort(([one], [other]) => one - other);
    this.#rows = new Float64Array(rows.length * COLUMNS);
    for (const [index, row] of rows.entries()) this.#rows.set(row, index * COLUMNS);
    this.#contents = contents
      .flatMap((section) => decodeContents(section, key))
      .toSorted((one, other) => one.ordinal - other.ordinal);
  }

  /** Gives the builder what the chunk knows of a file; returns how many bytes that is. */
  collect(ordinal: number, into: BaseMapBuilder): number {
    let bytes = 0;
    const count = this.#rows.length / COLUMNS;
    for (let row = firstAt(count, (at) => (this.#rows[at * COLUMNS] ?? 0) >= ordinal); row < count; row += 1) {
      const [owner, fileOffset = 0, sizeBytes = 0, frame = -1, frameOffset = 0] = this.#rows.subarray(
        row * COLUMNS,
        (row + 1) * COLUMNS,
      );
      if (owner !== ordinal) break;
      into.add(this.#frames[frame], fileOffset, sizeBytes, frameOffset);
      bytes += sizeBytes;
    }
    const known = this.#contents;
    for (
      let at = firstAt(known.length, (index) => (known[index]?.ordinal ?? 0) >= ordinal);
      at < known.length;
      at += 1
    ) {
      const content = known[at];
      if (content?.ordinal !== ordinal) break;
      into.addContent(content.fileOffset, content.sizeBytes, content.hash);
    }
    return bytes;
  }
}

/** Bytes in use by frame: one of small files may be named several times. */
function liveBytesOf(frames: readonly FrameRecord[]): Map<number, number> {
  const alive = new Map<number, number>();
  for (const { pack, number, extents } of frames) {
    const name = nameOf(pack, number);
    const bytes = extents.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    alive.set(name, (alive.get(name) ?? 0) + bytes);
  }
  return alive;
}

/** Different for all frames of a chunk: a pack has far fewer than a million. */
function nameOf(pack: number, number: number): number {
  return pack * 1_000_000 + number;
}

/** The first index for which `holds` is true; it is false for all before. */
function firstAt(count: number, holds: (index: number) => boolean): number {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (holds(middle)) high = middle;
    else low = middle + 1;
  }
  return low;
}
