import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { formatLsn, KeyframeError, parseWalFileName } from '@keyframe/contracts';
import { parseTimelineHistory, type TimelineAncestor } from '@keyframe/postgres';
import type { RecoveryPlan } from './plan.ts';

/** What of a plan says where the new timeline begins. */
export type PlannedEnd = Pick<RecoveryPlan, 'timeline' | 'stop'> & {
  readonly moment: Pick<RecoveryPlan['moment'], 'stopsAt'>;
};

/**
 * Holds a promoted server to the plan. PostgreSQL takes invalid WAL, or a segment that it cannot get, for the end of WAL and opens
 * the database: only where its new timeline begins tells that it replayed all it should.
 * @throws {KeyframeError} RECOVERY_FAILED
 */
export async function assertForked(dataDirectory: string, { timeline, stop, moment }: PlannedEnd): Promise<void> {
  const fork = await newestFork(join(dataDirectory, 'pg_wal'), timeline);
  // Without a target, WAL that was archived since the plan was made is replayed, too.
  const isRight =
    fork !== undefined && (stop.kind === 'latest' ? fork.end >= moment.stopsAt : fork.end === moment.stopsAt);
  if (isRight) return;
  const ended = fork === undefined ? 'without a new timeline' : `at LSN ${formatLsn(fork.end)}`;
  throw new KeyframeError(
    'RECOVERY_FAILED',
    `recovery ended ${ended}, not at ${formatLsn(moment.stopsAt)} as planned: the server in ${dataDirectory} holds another moment`,
    {
      hint: 'Do not use that server: read its log for the last file it asked for, then check it with `keyframe wal status`.',
      details: { planned: formatLsn(moment.stopsAt), ended: fork === undefined ? undefined : formatLsn(fork.end) },
    },
  );
}

/** The last switch in the history of the timeline that the promotion began. */
async function newestFork(walDirectory: string, planned: number): Promise<TimelineAncestor | undefined> {
  const timelines = (await readdir(walDirectory)).flatMap((name) => {
    const file = parseWalFileName(name);
    return file?.kind === 'history' && file.timeline > planned ? [file] : [];
  });
  const newest = timelines.toSorted((a, b) => b.timeline - a.timeline)[0];
  if (newest === undefined) return undefined;
  const text = await readFile(join(walDirectory, newest.name), 'utf8');
  return parseTimelineHistory(newest.name, text).ancestors.at(-1);
}
