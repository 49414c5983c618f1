import { createHmac, type Hmac } from 'node:crypto';
import { CONTENT_HASH_BYTES } from '../format/content-hash.ts';
import type { PackedContent, PackedFrame } from '../format/pack-content.ts';

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
  #open: Open[] = [];

  constructor(frames: readonly PackedFrame[], key: Uint8Array) {
    this.#frames = frames;
    this.#key = key;
  }

  /** Whether {@link take} needs the plain content of that frame. Frames come in order. */
  wants(number: number): boolean {
    return this.#open.length > 0 || (this.#frames[number]?.contents.length ?? 0) > 0;
  }

  take(number: number, plain: Uint8Array): void {
    const frame = this.#frames[number];
    if (frame === undefined) return;
    for (const content of frame.contents)
      this.#open.push({ content, hmac: createHmac('sha256', this.#key), at: content.fileOffset });
    for (const { file, fileOffset, sizeBytes, frameOffset } of frame.extents)
      for (const open of this.#open) {
        const end = open.content.fileOffset + open.content.sizeBytes;
        if (open.content.file !== file || open.at < fileOffset || open.at >= Math.min(end, fileOffset + sizeBytes))
          continue;
        const from = frameOffset + open.at - fileOffset;
        const count = Math.min(end, fileOffset + sizeBytes) - open.at;
        open.hmac.update(plain.subarray(from, from + count));
        open.at += count;
        if (open.at === end) this.#hashes.set(open.content, open.hmac.digest().subarray(0, CONTENT_HASH_BYTES));
      }
    this.#open = this.#open.filter(({ content }) => !this.#hashes.has(content));
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
