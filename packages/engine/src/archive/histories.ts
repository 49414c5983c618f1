import { type Abortable, historyName, type TimelineId } from '@keyframe/contracts';
import { drain } from '@keyframe/contracts/streams';
import { parseTimelineHistory, type TimelineHistory } from '@keyframe/postgres';
import type { EpochArchive, WalInventory } from '@keyframe/repository';

/**
 * The history files of the archive, by timeline; timeline 1 has an empty one. With `wanted` only that one is read, so that a
 * damaged history stands only in the way of its own timeline.
 */
export async function readHistories(
  archive: EpochArchive,
  inventory: Pick<WalInventory, 'histories'>,
  options: Abortable,
  wanted?: TimelineId,
): Promise<Map<TimelineId, TimelineHistory>> {
  const histories = new Map<TimelineId, TimelineHistory>([[1, { timeline: 1, ancestors: [] }]]);
  const timelines = inventory.histories.filter((timeline) => wanted === undefined || timeline === wanted);
  for (const timeline of timelines) {
    const name = historyName(timeline);
    const found = await archive.wal.get(name, options);
    if (found !== undefined)
      histories.set(timeline, parseTimelineHistory(name, (await drain(found.content)).toString()));
  }
  return histories;
}
