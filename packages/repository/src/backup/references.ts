import type { ContentRecord, ExtentRecord } from '../format/extents.ts';
import type { BaseFrame, BasePiece } from './base-map.ts';
import type { FrameRole } from './frame-pipeline.ts';

/** Takes what a manifest says of a file beside the frames of this backup. */
export interface ReferenceTarget {
  frame(role: FrameRole, frame: BaseFrame, extents: readonly ExtentRecord[]): void | Promise<void>;
  zeros(role: FrameRole, range: ExtentRecord): void | Promise<void>;
  content(role: FrameRole, content: ContentRecord): void | Promise<void>;
}

/**
 * Gathers what one file takes from other backups, so that each of their frames is named once: a file whose pages changed on
 * many days has ranges of many frames by turns. Grows with the ranges of one file.
 */
export class FileReferences {
  readonly #ordinal: number;
  readonly #frames = new Map<BaseFrame, ExtentRecord[]>();
  readonly #zeros: ExtentRecord[] = [];
  readonly #contents: ContentRecord[] = [];

  constructor(ordinal: number) {
    this.#ordinal = ordinal;
  }

  add(pieces: readonly BasePiece[]): void {
    for (const { frame, fileOffset, sizeBytes, frameOffset } of pieces)
      if (frame === undefined) this.zeros(fileOffset, sizeBytes);
      else this.#append(frame, { ordinal: this.#ordinal, fileOffset, sizeBytes, frameOffset });
  }

  zeros(fileOffset: number, sizeBytes: number): void {
    this.#zeros.push({ ordinal: this.#ordinal, fileOffset, sizeBytes, frameOffset: 0 });
  }

  content(fileOffset: number, sizeBytes: number, hash: Uint8Array): void {
    this.#contents.push({ ordinal: this.#ordinal, fileOffset, sizeBytes, hash });
  }

  /** Tells everything, frames in the order in which their packs can be read. */
  async emit(role: FrameRole, target: ReferenceTarget): Promise<void> {
    const frames = [...this.#frames].toSorted(([one], [other]) => comparePlaces(one, other));
    for (const [frame, extents] of frames) {
      const told = target.frame(
        role,
        frame,
        extents.toSorted((one, other) => one.frameOffset - other.frameOffset),
      );
      if (told !== undefined) await told;
    }
    for (const range of this.#zeros.toSorted(byOffset)) await target.zeros(role, range);
    for (const content of this.#contents.toSorted(byOffset)) await target.content(role, content);
  }

  #append(frame: BaseFrame, extent: ExtentRecord): void {
    const extents = this.#frames.get(frame);
    if (extents === undefined) {
      this.#frames.set(frame, [extent]);
      return;
    }
    const last = extents.at(-1);
    const continues =
      last !== undefined &&
      last.fileOffset + last.sizeBytes === extent.fileOffset &&
      last.frameOffset + last.sizeBytes === extent.frameOffset;
    if (continues) extents[extents.length - 1] = { ...last, sizeBytes: last.sizeBytes + extent.sizeBytes };
    else extents.push(extent);
  }
}

/**
 * Frames of bundles that are remembered at once, and ranges in them: some megabytes. Another host may list a directory in
 * another order, so frames of all its small files come by turns: these are enough for a gigabyte of them.
 */
const LIMITS = { frames: 4096, extents: 65_536 } as const;

/** Names frames of bundles, which many small files share, once for all of them: as long as it can remember them. */
export class SharedFrames implements ReferenceTarget {
  readonly #target: ReferenceTarget;
  readonly #open = new Map<string, { readonly frame: BaseFrame; readonly extents: ExtentRecord[] }>();
  #extents = 0;

  constructor(target: ReferenceTarget) {
    this.#target = target;
  }

  async frame(_role: FrameRole, frame: BaseFrame, extents: readonly ExtentRecord[]): Promise<void> {
    const name = `${frame.pack.key}/${frame.number}`;
    const open = this.#open.get(name) ?? { frame, extents: [] };
    open.extents.push(...extents);
    this.#extents += extents.length;
    this.#open.delete(name);
    this.#open.set(name, open);
    while (this.#open.size > LIMITS.frames || this.#extents > LIMITS.extents) await this.#closeOldest();
  }

  zeros(role: FrameRole, range: ExtentRecord): void | Promise<void> {
    return this.#target.zeros(role, range);
  }

  content(role: FrameRole, content: ContentRecord): void | Promise<void> {
    return this.#target.content(role, content);
  }

  async flush(): Promise<void> {
    while (this.#open.size > 0) await this.#closeOldest();
  }

  async #closeOldest(): Promise<void> {
    for (const [name, { frame, extents }] of this.#open) {
      this.#open.delete(name);
      this.#extents -= extents.length;
      await this.#target.frame('bundle', frame, extents);
      return;
    }
  }
}

function comparePlaces(one: BaseFrame, other: BaseFrame): number {
  if (one.pack.key !== other.pack.key) return one.pack.key < other.pack.key ? -1 : 1;
  return one.number - other.number;
}

function byOffset(one: { readonly fileOffset: number }, other: { readonly fileOffset: number }): number {
  return one.fileOffset - other.fileOffset;
}
