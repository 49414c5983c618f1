import { hasCode, KeyframeError, segmentName, type TimelineId } from '@keyframe/contracts';
import type { TimelineHistory } from '@keyframe/postgres';
import type { WalInventory } from '@keyframe/repository';

/** A timeline that goes on beside the one that is followed: a failover or an adoption left it there. */
export interface Branch {
  readonly timeline: TimelineId;
  /** Its newest archived segment. */
  readonly newest: string;
}

/** Timelines with WAL that a recovery along this history does not replay. The same xid may mean another transaction there. */
export function branchesBeside(
  history: TimelineHistory,
  inventory: Pick<WalInventory, 'segmentSizeBytes' | 'timelines' | 'ranges'> & Partial<Pick<WalInventory, 'streamed'>>,
): readonly Branch[] {
  const { segmentSizeBytes, streamed = [] } = inventory;
  const size = BigInt(segmentSizeBytes);
  const timelines = new Set([...inventory.timelines, ...streamed.map(({ timeline }) => timeline)]);
  return [...timelines].flatMap((timeline) => {
    const whole = inventory.ranges(timeline).at(-1)?.last;
    const parts = streamed.findLast((each) => each.timeline === timeline);
    const last = parts !== undefined && (whole === undefined || parts.number > whole) ? parts.number : whole;
    if (timeline === history.timeline || last === undefined) return [];
    const fork = history.ancestors.find((ancestor) => ancestor.timeline === timeline);
    // The segment that holds the fork is on both; parts tell where in it their timeline ended.
    const isBeyond = last === parts?.number && fork !== undefined && last * size + BigInt(parts.endBytes) > fork.end;
    if (fork !== undefined && last <= BigInt(fork.end) / size && !isBeyond) return [];
    return [{ timeline, newest: segmentName(timeline, last, segmentSizeBytes) }];
  });
}

const OF_THE_BRANCH = [
  'TARGET_UNREACHABLE',
  'TARGET_NOT_FOUND',
  'TARGET_BEFORE_BACKUP',
  'WAL_GAP',
  'WAL_INVALID',
  'WRONG_TIMELINE',
] as const;

/** A refusal on a timeline that nobody asked for: the target may lie on another. */
export function withBranches(error: KeyframeError, timeline: TimelineId, branches: readonly Branch[]): KeyframeError {
  if (branches.length === 0 || !hasCode(error, ...OF_THE_BRANCH)) return error;
  const others = branches.map((branch) => branch.timeline);
  const note = `Timeline ${timeline} was followed, the newest; --timeline ${others.join(' or ')} follows another branch.`;
  return new KeyframeError(error.code, error.message, {
    cause: error.cause,
    hint: error.hint === undefined ? note : `${error.hint} ${note}`,
    details: { ...error.details, followed: timeline, others: others.join(', ') },
  });
}
