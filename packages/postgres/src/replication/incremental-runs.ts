import type { IncrementalFile } from './types.ts';

/** Some blocks of a file, one after the other, that come from the same place. */
export interface BlockRun {
  /** `sent`: the next ones that the server sends. `kept`: as in the earlier backup, at the same place. `zero`: zeros. */
  readonly source: 'sent' | 'kept' | 'zero';
  readonly firstBlock: number;
  readonly blocks: number;
}

/**
 * What a file of an incremental base backup is made of, from its first block to its last.
 * @param earlierBlocks blocks of the whole file in the backup that this one builds on
 * @see reconstruct_from_incremental_file() in PostgreSQL's src/bin/pg_combinebackup/reconstruct.c
 */
export function* incrementalRuns(file: IncrementalFile, earlierBlocks: number): Generator<BlockRun> {
  const keptBelow = Math.min(file.truncationBlocks, earlierBlocks);
  let next = 0;
  for (let index = 0; index < file.blocks.length;) {
    const firstBlock = file.blocks[index] ?? 0;
    let blocks = 1;
    while (file.blocks[index + blocks] === firstBlock + blocks) blocks += 1;
    yield* gap(next, firstBlock, keptBelow);
    yield { source: 'sent', firstBlock, blocks };
    index += blocks;
    next = firstBlock + blocks;
  }
  yield* gap(next, file.lengthBlocks, keptBelow);
}

function* gap(start: number, end: number, keptBelow: number): Generator<BlockRun> {
  const middle = Math.max(start, Math.min(end, keptBelow));
  if (middle > start) yield { source: 'kept', firstBlock: start, blocks: middle - start };
  if (end > middle) yield { source: 'zero', firstBlock: middle, blocks: end - middle };
}
