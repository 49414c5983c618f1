/** Files of which the server sends only the changed blocks. @packageDocumentation */
import { KeyframeError } from '@keyframe/contracts';
import type { IncrementalFile } from '@keyframe/postgres';
import type { FileSink } from '@keyframe/repository';
import { CHUNK_BYTES, PAGE_BYTES, type PageFile, type PageLane } from './page-lane.ts';
import type { CopyFile } from './copy.ts';

const ZEROS = Buffer.alloc(CHUNK_BYTES);

/**
 * Puts the blocks that come between those of the base: what is not sent is as it was there, or zero where the base had
 * nothing or the relation was cut.
 * @see reconstruct_from_incremental_file() in src/bin/pg_combinebackup/reconstruct.c
 */
export class IncrementalPages {
  readonly #lane: PageLane | undefined;
  readonly #chunk: Buffer;
  readonly #sink: FileSink;
  readonly #pages: PageFile | undefined;
  readonly #file: IncrementalFile;
  /** Blocks that the base has and that still hold. */
  readonly #baseBlocks: number;
  /** Which of the blocks comes next, and what is filled of the chunk from it on. */
  #index = 0;
  #filled = 0;
  /** The next block of the file to be settled. */
  #block = 0;

  constructor(target: CopyFile, file: IncrementalFile, lane: PageLane | undefined, chunk: Buffer) {
    if (target.base === undefined)
      throw new KeyframeError(
        'CORRUPT',
        'the server sent changes of a file that the backup to build on does not have',
        {
          hint: 'Take a full backup with `keyframe backup --type full`.',
        },
      );
    this.#sink = target.sink;
    this.#pages = target.pages;
    this.#lane = lane;
    this.#chunk = chunk;
    this.#file = file;
    this.#baseBlocks = Math.min(file.truncationBlocks, Math.floor(target.base.sizeBytes / PAGE_BYTES));
  }

  async write(view: Uint8Array): Promise<void> {
    let at = 0;
    while (at < view.length) {
      const room = this.#runBytes() - this.#filled;
      if (room <= 0) throw new KeyframeError('CORRUPT', 'the server sent more blocks of a file than it named');
      const count = Math.min(view.length - at, room);
      this.#chunk.set(view.subarray(at, at + count), this.#filled);
      this.#filled += count;
      at += count;
      if (count === room) await this.#settleRun();
    }
  }

  async end(): Promise<void> {
    if (this.#filled > 0 || this.#index < this.#file.blocks.length)
      throw new KeyframeError('CORRUPT', 'the server sent fewer blocks of a file than it named');
    await this.#fill(this.#file.lengthBlocks);
    await this.#sink.end();
  }

  /** Bytes of the blocks that follow one another, from the next one on, as far as the chunk holds them. */
  #runBytes(): number {
    const { blocks } = this.#file;
    const first = blocks[this.#index];
    if (first === undefined) return 0;
    const most = this.#chunk.length / PAGE_BYTES;
    let count = 1;
    while (count < most && blocks[this.#index + count] === first + count) count += 1;
    return count * PAGE_BYTES;
  }

  async #settleRun(): Promise<void> {
    const block = this.#file.blocks[this.#index] ?? 0;
    await this.#fill(block);
    const pages = this.#chunk.subarray(0, this.#filled);
    this.#index += this.#filled / PAGE_BYTES;
    this.#block += this.#filled / PAGE_BYTES;
    this.#filled = 0;
    if (this.#pages === undefined || this.#lane === undefined) await this.#sink.write(pages);
    else await this.#lane.take(this.#pages, pages, block);
  }

  /** Settles what is not sent before that block. */
  async #fill(until: number): Promise<void> {
    const kept = Math.min(until, this.#baseBlocks) - this.#block;
    if (kept > 0) {
      await this.#sink.keep(kept * PAGE_BYTES);
      this.#block += kept;
    }
    while (this.#block < until) {
      const count = Math.min(until - this.#block, ZEROS.length / PAGE_BYTES);
      await this.#sink.write(ZEROS.subarray(0, count * PAGE_BYTES));
      this.#block += count;
    }
  }
}
