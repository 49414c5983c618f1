import { hasCode } from '@keyframe/contracts';
import type { FileSink } from '@keyframe/repository';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { IncrementalPages } from './incremental-file.ts';
import { CHUNK_BYTES, PAGE_BYTES } from './page-lane.ts';

const page = (fill: number): Buffer => Buffer.alloc(PAGE_BYTES, fill);
const BASE = 1;
const SENT = 2;

/** Only files of this machine are asked for these. */
const UNASKED = { stored: async () => [], take: () => undefined, distrust: () => undefined };

/** Puts a file together; keeping takes the base's pages. Gives the fill of each page. */
async function rebuild(
  file: { blocks: readonly number[]; truncationBlocks: number; lengthBlocks: number },
  baseBlocks: number,
  viewBytes = 10_000,
): Promise<number[]> {
  const result: number[] = [];
  const sink: FileSink = {
    write: (view) => {
      for (let at = 0; at < view.length; at += PAGE_BYTES) result.push(view[at] ?? -1);
    },
    keep: (sizeBytes) => {
      for (let at = 0; at < sizeBytes; at += PAGE_BYTES) result.push(result.length < baseBlocks ? BASE : -1);
    },
    end: () => undefined,
    ...UNASKED,
  };
  const base = { path: 'base/5/1', sizeBytes: baseBlocks * PAGE_BYTES, modifiedAtSeconds: 0 };
  const blocks = Uint32Array.from(file.blocks);
  const chunk = Buffer.alloc(CHUNK_BYTES);
  const pages = new IncrementalPages({ sink, base, pages: undefined }, { ...file, blocks }, undefined, chunk);
  const content = Buffer.concat(file.blocks.map(() => page(SENT)));
  for (let at = 0; at < content.length; at += viewBytes) await pages.write(content.subarray(at, at + viewBytes));
  await pages.end();
  return result;
}

describe('a file of which changed blocks came', () => {
  it('is put together as pg_combinebackup does', async () => {
    const files = fc.record({
      blocks: fc.uniqueArray(fc.nat({ max: 90 }), { maxLength: 80 }),
      truncationBlocks: fc.nat({ max: 100 }),
      baseBlocks: fc.nat({ max: 100 }),
      viewBytes: fc.integer({ min: 100, max: 300_000 }),
    });
    await fc.assert(
      fc.asyncProperty(files, async ({ blocks, truncationBlocks, baseBlocks, viewBytes }) => {
        const sorted = blocks.toSorted((one, other) => one - other);
        const lengthBlocks = Math.max(truncationBlocks, (sorted.at(-1) ?? -1) + 1);
        const expected = Array.from({ length: lengthBlocks }, (_, block) => {
          if (sorted.includes(block)) return SENT;
          return block < truncationBlocks && block < baseBlocks ? BASE : 0;
        });
        const rebuilt = await rebuild({ blocks: sorted, truncationBlocks, lengthBlocks }, baseBlocks, viewBytes);
        expect(rebuilt).toEqual(expected);
      }),
      { numRuns: 200 },
    );
  });

  it('is refused when blocks are missing, too many, or the base has no such file', async () => {
    const corrupt = (error: unknown): boolean => hasCode(error, 'CORRUPT');
    const sink: FileSink = { write: () => undefined, keep: () => undefined, end: () => undefined, ...UNASKED };
    const base = { path: 'base/5/1', sizeBytes: 0, modifiedAtSeconds: 0 };
    const file = { blocks: Uint32Array.of(0, 1), truncationBlocks: 2, lengthBlocks: 2 };
    const chunk = Buffer.alloc(CHUNK_BYTES);
    const make = (known: typeof base | undefined): IncrementalPages =>
      new IncrementalPages({ sink, base: known, pages: undefined }, file, undefined, chunk);
    expect(() => make(undefined)).toThrow(expect.toSatisfy(corrupt));
    const short = make(base);
    await short.write(page(SENT));
    await expect(short.end()).rejects.toSatisfy(corrupt);
    await expect(make(base).write(Buffer.concat([page(1), page(2), page(3)]))).rejects.toSatisfy(corrupt);
  });
});
