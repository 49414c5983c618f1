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
  inventory: Pick<WalInventory, 'segmentSizeBytes' | 'timelines' | 'ranges'>,
): readonly Branch[] {
  const { segmentSizeBytes } = inventory;
  return inventory.timelines.flatMap((timeline) => {
    const last = inventory.ranges(timeline).at(-1)?.last;
    if (timeline === history.timeline || last === undefined) return [];
    const fork = history.ancestors.find((ancestor) => ancestor.timeline === timeline);
    // The segment that holds the fork is on both.
    if (fork !== undefined && last <= BigInt(fork.end) / BigInt(segmentSizeBytes)) return [];
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
