/**
 * Where replay will stop: PostgreSQL's own decision, taken from the facts of the WAL before anything is restored.
 * @see recoveryStopsBefore() and recoveryStopsAfter() in src/backend/access/transam/xlogrecovery.c
 * @packageDocumentation
 */
import type { Lsn } from '@keyframe/contracts';
import type { WalEnd, WalFact, WatchOptions } from '@keyframe/wal';
import type { RecoveryTarget } from './recovery-target.ts';
import { type Moment, type ReplayStart, type Resolution, StopRule } from './stop-rule.ts';
import { unreachableError } from './unreachable.ts';

/** A pass over the WAL from the backup's redo LSN on, along the timeline to follow. */
export interface FactScan {
  readonly facts: AsyncIterable<WalFact>;
  /** End of the last whole record that was read. */
  readonly position: () => Lsn;
  /** Start of that record. */
  readonly lastRecord?: (() => Lsn | undefined) | undefined;
  /** What ended the reading before the WAL was all read. */
  readonly ended: () => WalEnd | undefined;
}

export interface ResolveOptions {
  /** Read on to the end of the WAL and count what is lost. Default: only as far as the first transaction lost. */
  readonly countLost?: boolean | undefined;
}

/** What the pass must watch for, so that {@link resolveMoment} can decide. */
export function watchFor(target: RecoveryTarget, consistentAt: Lsn): WatchOptions {
  if (target.kind === 'xid') return { xid: target.xid };
  if (target.kind === 'lsn') return { positions: [target.lsn] };
  return target.kind === 'immediate' ? { positions: [consistentAt] } : {};
}

/**
 * Reads the facts until PostgreSQL would stop, and on to the first transaction that is lost. Leaves the rest unread.
 * The pass must have been told to watch for {@link watchFor}.
 */
export async function resolveMoment(
  target: RecoveryTarget,
  scan: FactScan,
  start: ReplayStart,
  options: ResolveOptions = {},
): Promise<Resolution> {
  const isCounted = options.countLost === true;
  const rule = new StopRule(target, start);
  for await (const fact of scan.facts) {
    rule.see(fact);
    if (rule.isTooEarly || (rule.isDone && !isCounted)) break;
  }
  return rule.resolve({
    position: scan.position(),
    lastRecord: scan.lastRecord?.(),
    ended: scan.ended(),
    isCounted,
  });
}

/**
 * The moment of a target that can be reached.
 * @throws {KeyframeError} TARGET_BEFORE_BACKUP, TARGET_NOT_FOUND, TARGET_UNREACHABLE, with the nearest that can
 */
export function requireMoment(resolution: Resolution): Moment {
  if (resolution.reachable) return resolution.moment;
  throw unreachableError(resolution.why, resolution.nearest);
}
