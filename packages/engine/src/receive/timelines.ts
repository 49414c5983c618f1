import { type Abortable, hasCode, historyName, KeyframeError, type TimelineId } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { parseTimelineHistory, type ReplicationConnection, type TimelineHistory } from '@keyframe/postgres';
import type { EpochArchive } from '@keyframe/repository';

/**
 * The history of the server's timeline, archived before any WAL of it. The histories of its ancestors are archived too,
 * where the server still has them.
 * @throws {KeyframeError} WRONG_TIMELINE when the repository knows another timeline of that number
 */
export async function archiveHistories(
  connection: Pick<ReplicationConnection, 'timelineHistory'>,
  archive: EpochArchive,
  timeline: TimelineId,
  options: Abortable,
): Promise<TimelineHistory> {
  if (timeline === 1) return { timeline, ancestors: [] };
  const name = historyName(timeline);
  const { content } = await connection.timelineHistory(timeline, options);
  const history = parseTimelineHistory(name, content.toString());
  for (const ancestor of history.ancestors.filter((each) => each.timeline > 1))
    await archiveOne(connection, archive, ancestor.timeline, options).catch((error: unknown) => {
      if (!hasCode(error, 'SERVER_ERROR')) throw error;
    });
  await archiveOne({ timelineHistory: async () => ({ name, content }) }, archive, timeline, options);
  return history;
}

async function archiveOne(
  connection: Pick<ReplicationConnection, 'timelineHistory'>,
  { wal, epoch }: EpochArchive,
  timeline: TimelineId,
  options: Abortable,
): Promise<void> {
  const name = historyName(timeline);
  const { content } = await connection.timelineHistory(timeline, options);
  try {
    await wal.put({ name, content: bytesOf(content), facts: { systemIdentifier: epoch.systemIdentifier } }, options);
  } catch (error) {
    if (!hasCode(error, 'WAL_MISMATCH')) throw error;
    throw new KeyframeError(
      'WRONG_TIMELINE',
      `the server is on another timeline ${timeline} than the repository's: the history files differ`,
      {
        cause: error,
        hint: 'Of two copies promoted to one timeline id only one may archive here: restore this one again, then run `keyframe adopt`.',
        details: { timeline },
      },
    );
  }
}
