import { type Abortable, historyName, type TimelineId } from '@keyframe/contracts';
import { drain } from '@keyframe/contracts/streams';
import { parseTimelineHistory, type TimelineHistory } from '@keyframe/postgres';
import type { EpochArchive, WalInventory } from '@keyframe/repository';

/** The history files of the archive, by timeline; timeline 1 has an empty one. */
export async function readHistories(
  archive: EpochArchive,
  inventory: WalInventory,
  options: Abortable,
): Promise<Map<TimelineId, TimelineHistory>> {
  const histories = new Map<TimelineId, TimelineHistory>([[1, { timeline: 1, ancestors: [] }]]);
  for (const timeline of inventory.histories) {
    const name = historyName(timeline);
    const found = await archive.wal.get(name, options);
    if (found !== undefined)
      histories.set(timeline, parseTimelineHistory(name, (await drain(found.content)).toString()));
  }
  return histories;
}
