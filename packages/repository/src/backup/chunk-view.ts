import {
  type ContentRecord,
  decodeContents,
  type ExtentRecord,
  type ExtentsChunk,
  type FrameRecord,
} from '../format/extents.ts';
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
    const rows = new Rows(frames.reduce((sum, { extents }) => sum + extents.length, zeros.length));
    const alive = liveBytesOf(frames);
    for (const { extents, pack: index, ...frame } of frames) {
      const liveBytes = alive.get(nameOf(index, frame.number)) ?? 0;
      const at = this.#frames.push({ ...frame, pack: pack(index), liveBytes }) - 1;
      for (const each of extents) rows.add(each, at);
    }
    for (const range of zeros) rows.add(range, -1);
    this.#rows = rows.sorted();
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

/** Ranges in columns: a chunk may have 40,000. */
class Rows {
  readonly #values: Float64Array;
  #used = 0;
  #isSorted = true;

  constructor(count: number) {
    this.#values = new Float64Array(count * COLUMNS);
  }

  add({ ordinal, fileOffset, sizeBytes, frameOffset }: ExtentRecord, frame: number): void {
    const at = this.#used;
    if (at > 0 && ordinal < (this.#values[at - COLUMNS] ?? 0)) this.#isSorted = false;
    this.#values[at] = ordinal;
    this.#values[at + 1] = fileOffset;
    this.#values[at + 2] = sizeBytes;
    this.#values[at + 3] = frame;
    this.#values[at + 4] = frame < 0 ? 0 : frameOffset;
    this.#used += COLUMNS;
  }

  /** By ordinal. */
  sorted(): Float64Array {
    const values = this.#values;
    if (this.#isSorted) return values;
    const order = Uint32Array.from({ length: values.length / COLUMNS }, (_, row) => row);
    order.sort((one, other) => (values[one * COLUMNS] ?? 0) - (values[other * COLUMNS] ?? 0));
    const result = new Float64Array(values.length);
    for (const [to, from] of order.entries())
      result.set(values.subarray(from * COLUMNS, (from + 1) * COLUMNS), to * COLUMNS);
    return result;
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
