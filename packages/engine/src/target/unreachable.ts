import { formatLsn, KeyframeError, type Lsn } from '@keyframe/contracts';
import type { WalEnd } from '@keyframe/wal';
import { nearestNames } from './near-names.ts';
import { describeTarget, type RecoveryTarget } from './recovery-target.ts';
import { formatMicros } from './time.ts';
import { isNewer, type TransactionPoint } from './transaction-point.ts';

/** What a pass over the WAL saw on its way, kept for the explanation. */
export interface Seen {
  readonly names: string[];
  firstXid: number | undefined;
  newestXid: number | undefined;
  lastEnd: (TransactionPoint & { readonly ended: 'commit' | 'abort' }) | undefined;
  /** Where the asked-for transaction first wrote, and whose part it is. */
  watched: { readonly lsn: Lsn; readonly topXid?: number } | undefined;
}

/** Points that can be reached instead. */
export interface Nearest {
  /** The last transaction committed in what was read. */
  readonly lastCommit: TransactionPoint | undefined;
  /** End of the last whole record that was read. */
  readonly end: Lsn;
  /** The earliest point that this backup can be recovered to. */
  readonly consistentAt: Lsn;
}

/** Why PostgreSQL would refuse the target. */
export interface WhyNot {
  readonly reason:
    | 'before-consistency'
    | 'never-consistent'
    | 'after-end'
    | 'unknown-xid'
    | 'unfinished-xid'
    | 'subtransaction'
    | 'unknown-name';
  readonly code: 'TARGET_BEFORE_BACKUP' | 'TARGET_NOT_FOUND' | 'TARGET_UNREACHABLE';
  readonly message: string;
  readonly hint: string;
  /** True when the target may lie in WAL before this backup, where an older one could reach it. */
  readonly mayBeEarlier: boolean;
}

interface Outcome {
  readonly seen: Seen;
  readonly nearest: Nearest;
  readonly isTooEarly: boolean;
  readonly ended: WalEnd | undefined;
}

/** Explains why a pass over the WAL did not find where to stop. */
export function whyUnreachable(target: RecoveryTarget, outcome: Outcome): WhyNot {
  const { nearest, isTooEarly } = outcome;
  if (isTooEarly)
    return {
      reason: 'before-consistency',
      code: 'TARGET_BEFORE_BACKUP',
      message: `${describeTarget(target)} lies before the backup is consistent, at LSN ${formatLsn(nearest.consistentAt)}`,
      hint: 'Recover from an older backup (`keyframe list`), or use --immediate for the earliest point of this one.',
      mayBeEarlier: true,
    };
  if (nearest.end < nearest.consistentAt) return neverConsistent(outcome);
  if (target.kind === 'xid') return withoutXid(target.xid, outcome);
  if (target.kind === 'name') return withoutName(target.name, outcome);
  return {
    reason: 'after-end',
    code: 'TARGET_UNREACHABLE',
    message: `${describeTarget(target)} lies beyond the archived WAL, ${endText(outcome)}`,
    hint: 'Use --latest to recover all that is archived, or archive more with `select pg_switch_wal()` on the server.',
    mayBeEarlier: false,
  };
}

function neverConsistent(outcome: Outcome): WhyNot {
  return {
    reason: 'never-consistent',
    code: 'TARGET_UNREACHABLE',
    message: `the backup is consistent at LSN ${formatLsn(outcome.nearest.consistentAt)} only, beyond the archived WAL, ${endText(outcome)}`,
    hint: 'Recover from an older backup (`keyframe list`), and run `keyframe wal status` to see what is missing.',
    mayBeEarlier: true,
  };
}

/** The last that is there, in all the ways a user may name it. */
function endText({ seen, nearest, ended }: Outcome): string {
  const { lastEnd } = seen;
  const last =
    lastEnd === undefined
      ? 'without any transaction'
      : `the last ${lastEnd.ended} being that of transaction ${lastEnd.xid} at ${formatMicros(lastEnd.timeMicros)}`;
  const why = ended === undefined ? '' : ` (there ${ended.message})`;
  return `which ends at LSN ${formatLsn(nearest.end)}${why}, ${last}`;
}

function withoutXid(xid: number, outcome: Outcome): WhyNot {
  const { watched, newestXid } = outcome.seen;
  if (watched?.topXid !== undefined)
    return {
      reason: 'subtransaction',
      code: 'TARGET_NOT_FOUND',
      message: `transaction ${xid} is a subtransaction of ${watched.topXid} and does not end by itself`,
      hint: `Use --xid ${watched.topXid} or --before-xid ${watched.topXid}.`,
      mayBeEarlier: false,
    };
  if (watched !== undefined)
    return {
      reason: 'unfinished-xid',
      code: 'TARGET_UNREACHABLE',
      message: `transaction ${xid} wrote at LSN ${formatLsn(watched.lsn)} but neither commits nor aborts in the archived WAL, ${endText(outcome)}`,
      hint: 'Use --latest, which loses what it did, or archive more with `select pg_switch_wal()` on the server.',
      mayBeEarlier: false,
    };
  const isLater = newestXid !== undefined && isNewer(xid, newestXid);
  return {
    reason: 'unknown-xid',
    code: 'TARGET_NOT_FOUND',
    message: isLater
      ? `transaction ${xid} does not occur in the archived WAL, ${endText(outcome)}`
      : `transaction ${xid} neither commits nor aborts in the WAL after this backup`,
    hint: isLater
      ? 'Use --latest to recover all that is archived, or archive more with `select pg_switch_wal()` on the server.'
      : 'Check the xid, or give the time of the change with --time.',
    mayBeEarlier: !isLater,
  };
}

function withoutName(name: string, { seen }: Outcome): WhyNot {
  const near = nearestNames(name, seen.names).map((each) => JSON.stringify(each));
  return {
    reason: 'unknown-name',
    code: 'TARGET_NOT_FOUND',
    message: `there is no restore point ${JSON.stringify(name)} in the WAL after this backup`,
    hint:
      near.length === 0
        ? 'Use --time instead; that WAL holds no restore point at all.'
        : `Use --name with one of those that are there: ${near.join(', ')}.`,
    mayBeEarlier: true,
  };
}

/** The same as an error. Its details name the nearest points. */
export function unreachableError(why: WhyNot, nearest: Nearest): KeyframeError {
  const { lastCommit } = nearest;
  return new KeyframeError(why.code, why.message, {
    hint: why.hint,
    details: {
      reason: why.reason,
      earliestLsn: formatLsn(nearest.consistentAt),
      endLsn: formatLsn(nearest.end),
      lastCommitXid: lastCommit?.xid,
      lastCommitTime: lastCommit === undefined ? undefined : formatMicros(lastCommit.timeMicros),
      lastCommitLsn: lastCommit === undefined ? undefined : formatLsn(lastCommit.lsn),
    },
  });
}
