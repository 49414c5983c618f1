import { createHmac, type Hmac } from 'node:crypto';
import { CONTENT_HASH_BYTES } from '../format/content-hash.ts';
import type { PackedContent, PackedExtent, PackedFile, PackedFrame } from '../format/pack-content.ts';

interface Open {
  readonly content: PackedContent;
  readonly hmac: Hmac;
  at: number;
}

/**
 * Hashes under another key what a pack says of its content, while its frames come by. What ends in another pack is left
 * untold: one small file a pack at most.
 */
export class Rehash {
  readonly #frames: readonly PackedFrame[];
  readonly #key: Uint8Array;
  readonly #hashes = new Map<PackedContent, Buffer>();
  /** What has begun and not ended, by its file: a frame can hold thousands. */
  readonly #open = new Map<PackedFile, Open[]>();

  constructor(frames: readonly PackedFrame[], key: Uint8Array) {
    this.#frames = frames;
    this.#key = key;
  }

  /** Whether {@link take} needs the plain content of that frame. Frames come in order. */
  wants(number: number): boolean {
    return this.#open.size > 0 || (this.#frames[number]?.contents.length ?? 0) > 0;
  }

  take(number: number, plain: Uint8Array): void {
    const frame = this.#frames[number];
    if (frame === undefined) return;
    for (const content of frame.contents) {
      const open = { content, hmac: createHmac('sha256', this.#key), at: content.fileOffset };
      this.#open.set(content.file, [...(this.#open.get(content.file) ?? []), open]);
    }
    for (const extent of frame.extents) {
      const all = this.#open.get(extent.file);
      if (all === undefined) continue;
      const left = all.filter((open) => !this.#update(open, extent, plain));
      if (left.length === 0) this.#open.delete(extent.file);
      else if (left.length < all.length) this.#open.set(extent.file, left);
    }
  }

  /** True when the content has come to its end. */
  #update(open: Open, { fileOffset, sizeBytes, frameOffset }: PackedExtent, plain: Uint8Array): boolean {
    const end = open.content.fileOffset + open.content.sizeBytes;
    const extentEnd = Math.min(end, fileOffset + sizeBytes);
    if (open.at < fileOffset || open.at >= extentEnd) return false;
    const from = frameOffset + open.at - fileOffset;
    open.hmac.update(plain.subarray(from, from + extentEnd - open.at));
    open.at = extentEnd;
    if (open.at < end) return false;
    this.#hashes.set(open.content, open.hmac.digest().subarray(0, CONTENT_HASH_BYTES));
    return true;
  }

  /** What the pack holds, with the new hashes. */
  frames(): PackedFrame[] {
    return this.#frames.map(({ extents, contents }) => ({
      extents,
      contents: contents.flatMap((content) => {
        const hash = this.#hashes.get(content);
        return hash === undefined ? [] : [{ ...content, hash }];
      }),
    }));
  }
}
