/** Cuts a source into parts that are held in memory one at a time. @packageDocumentation */
import type { ByteStream } from '@keyframe/contracts';

/** Bytes of one part; several buffers, so that a part of unknown size takes no more memory than it has bytes. */
export interface Part {
  readonly bytes: readonly Uint8Array[];
  readonly sizeBytes: number;
  /** No part follows: the source came to its end. */
  readonly last: boolean;
}

const SLAB = 1024 * 1024;

/**
 * Copies, since a producer may use its buffers again. A part is given out only once the next byte or the end was seen,
 * so the last one is known to be the last. An empty source is one empty part.
 */
export async function* partsOf(
  source: ByteStream,
  partBytes: number,
  sizeBytes: number | undefined,
): AsyncGenerator<Part, void, undefined> {
  let slabs: Buffer[] = [];
  let filled = 0;
  let done = 0;
  const part = (last: boolean): Part => {
    const bytes = slabs.map((slab, index) => slab.subarray(0, Math.min(slab.length, filled - index * SLAB)));
    const made = { bytes, sizeBytes: filled, last };
    done += filled;
    slabs = [];
    filled = 0;
    return made;
  };
  for await (const chunk of source) {
    for (let at = 0; at < chunk.length;) {
      if (filled === partBytes) yield part(false);
      let slab = slabs.at(-1);
      const used = filled - (slabs.length - 1) * SLAB;
      if (slab === undefined || used === slab.length) {
        const expected = sizeBytes === undefined ? SLAB : Math.max(sizeBytes - done - filled, 1);
        slab = Buffer.allocUnsafeSlow(Math.min(SLAB, partBytes - filled, expected));
        slabs.push(slab);
      }
      const offset = filled - (slabs.length - 1) * SLAB;
      const taken = Math.min(slab.length - offset, chunk.length - at);
      slab.set(chunk.subarray(at, at + taken), offset);
      filled += taken;
      at += taken;
    }
  }
  yield part(true);
}
