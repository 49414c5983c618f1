import type { Abortable } from '@keyframe/contracts';
import type { ClusterHistory, EpochArchive, WalIndexRef, WalInventory } from '@keyframe/repository';
import { supersededRefs } from './coverage.ts';

/** Removes what nobody needs of the index: what larger objects took the place of, and what is told of WAL that is gone. */
export async function expireIndexes(history: ClusterHistory, options: Abortable): Promise<number> {
  let removed = 0;
  for (const { number } of await history.epochs(options))
    removed += await expireIndex(await history.at(number, options), options);
  return removed;
}

/** {@link expireIndexes} of one epoch. */
export async function expireIndex(
  archive: Pick<EpochArchive, 'index' | 'wal'>,
  options: Abortable = {},
): Promise<number> {
  const refs = await archive.index.list(options);
  if (refs.length === 0) return 0;
  const inventory = await archive.wal.inventory(options);
  const superseded = new Set(supersededRefs(refs));
  const going = refs.filter((ref) => superseded.has(ref) || isWithoutWal(ref, inventory));
  await archive.index.remove(going, options);
  return going.length;
}

/** True when nothing of the WAL that it tells of is archived. */
export function isWithoutWal(
  { timeline, startLsn, endLsn }: WalIndexRef,
  inventory: Pick<WalInventory, 'ranges' | 'segmentSizeBytes'>,
): boolean {
  const size = BigInt(inventory.segmentSizeBytes);
  return !inventory.ranges(timeline).some(({ first, last }) => first * size < endLsn && startLsn < (last + 1n) * size);
}
