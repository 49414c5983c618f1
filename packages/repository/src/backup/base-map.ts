import type { TableEntry } from '../format/container-tail.ts';
import type { OtherPack } from './pack-table.ts';

/** A frame of another backup. */
export interface BaseFrame extends TableEntry {
  readonly pack: OtherPack;
  readonly number: number;
  /** Bytes of it that the other backup uses. */
  readonly liveBytes: number;
}

/** A range of a file of another backup. */
export interface BasePiece {
  readonly fileOffset: number;
  readonly sizeBytes: number;
  /** Undefined: the range is all zero. */
  readonly frame: BaseFrame | undefined;
  readonly frameOffset: number;
}

/** Where the bytes of one file of another backup lie, and what they are. In columns: one file may have 100,000 ranges. */
export class BaseMap {
  /** Label of the unfinished backup whose packs tell it; undefined for a published one. */
  readonly unfinished: string | undefined;
  readonly #sizeBytes: number;
  readonly #frames: readonly BaseFrame[];
  /** fileOffset, sizeBytes, index of the frame or -1, frameOffset; sorted by the first. */
  readonly #ranges: Float64Array;
  readonly #contents: ReadonlyMap<number, { readonly sizeBytes: number; readonly hash: Uint8Array }>;

  constructor(
    sizeBytes: number,
    frames: readonly BaseFrame[],
    ranges: Float64Array,
    contents: ReadonlyMap<number, { readonly sizeBytes: number; readonly hash: Uint8Array }>,
    unfinished?: string,
  ) {
    this.unfinished = unfinished;
    this.#sizeBytes = sizeBytes;
    this.#frames = frames;
    this.#ranges = ranges;
    this.#contents = contents;
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** The ranges between two offsets, cut to them. Fewer bytes when the base does not have them all. */
  pieces(start: number, end: number): BasePiece[] {
    const pieces: BasePiece[] = [];
    for (let at = this.#find(start); at < this.#ranges.length; at += 4) {
      const [offset = 0, size = 0, frame = -1, frameOffset = 0] = this.#ranges.subarray(at, at + 4);
      if (offset >= end) break;
      const from = Math.max(offset, start);
      const sizeBytes = Math.min(offset + size, end) - from;
      if (sizeBytes <= 0) continue;
      const shifted = frame < 0 ? 0 : frameOffset + from - offset;
      pieces.push({ fileOffset: from, sizeBytes, frame: this.#frames[frame], frameOffset: shifted });
    }
    return pieces;
  }

  /** The hash of exactly that range, where the other backup says it. */
  hashOf(fileOffset: number, sizeBytes: number): Uint8Array | undefined {
    const content = this.#contents.get(fileOffset);
    return content?.sizeBytes === sizeBytes ? content.hash : undefined;
  }

  /** Index of the range that holds an offset, or of the next one. */
  #find(offset: number): number {
    let low = 0;
    let high = this.#ranges.length / 4;
    while (low < high) {
      const middle = (low + high) >>> 1;
      const end = (this.#ranges[middle * 4] ?? 0) + (this.#ranges[middle * 4 + 1] ?? 0);
      if (end <= offset) low = middle + 1;
      else high = middle;
    }
    return low * 4;
  }
}

/** Gathers what is known of one file, in any order. */
export class BaseMapBuilder {
  readonly #frames: BaseFrame[] = [];
  readonly #indexes = new Map<BaseFrame, number>();
  readonly #ranges: [number, number, number, number][] = [];
  readonly #contents = new Map<number, { readonly sizeBytes: number; readonly hash: Uint8Array }>();

  add(frame: BaseFrame | undefined, fileOffset: number, sizeBytes: number, frameOffset: number): void {
    this.#ranges.push([fileOffset, sizeBytes, frame === undefined ? -1 : this.#index(frame), frameOffset]);
  }

  addContent(fileOffset: number, sizeBytes: number, hash: Uint8Array): void {
    this.#contents.set(fileOffset, { sizeBytes, hash });
  }

  build(sizeBytes: number, unfinished?: string): BaseMap {
    this.#ranges.sort(([one], [other]) => one - other);
    return new BaseMap(sizeBytes, this.#frames, Float64Array.from(this.#ranges.flat()), this.#contents, unfinished);
  }

  #index(frame: BaseFrame): number {
    const known = this.#indexes.get(frame);
    if (known !== undefined) return known;
    this.#indexes.set(frame, this.#frames.length);
    return this.#frames.push(frame) - 1;
  }
}

/** Whether pieces cover a range whole, without a gap. */
export function isWhole(pieces: readonly BasePiece[], start: number, end: number): boolean {
  let at = start;
  for (const { fileOffset, sizeBytes } of pieces) {
    if (fileOffset !== at) return false;
    at += sizeBytes;
  }
  return at === end;
}
