import { historyName, KeyframeError, type TimelineId } from '@keyframe/contracts';
import type { TimelineHistory } from '@keyframe/postgres';
import type { WalInventory } from '@keyframe/repository';

/**
 * The history to follow: that of the wanted timeline, or of the newest.
 * @throws {KeyframeError} WRONG_TIMELINE for one the archive does not know
 */
export function chooseTimeline(
  histories: ReadonlyMap<TimelineId, TimelineHistory>,
  inventory: WalInventory,
  wanted: TimelineId | undefined,
): TimelineHistory {
  const known = [1, ...inventory.histories.filter((each) => each > 1)];
  const timeline = wanted ?? known.at(-1) ?? 1;
  const history = histories.get(timeline);
  if (history !== undefined) return history;
  const hasWal = inventory.ranges(timeline).length > 0;
  throw new KeyframeError(
    'WRONG_TIMELINE',
    hasWal
      ? `the archive has WAL of timeline ${timeline} but not its history file ${historyName(timeline)}`
      : `the archive knows no timeline ${timeline}`,
    {
      hint: hasWal
        ? `Push ${historyName(timeline)} from a server's pg_wal with \`keyframe wal push\`.`
        : `Choose one of ${known.join(', ')} with --timeline (\`keyframe wal status\` shows where they fork).`,
      details: { timeline },
    },
  );
}
