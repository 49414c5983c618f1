/** Reads the WAL of a path to find the record at which PostgreSQL will stop. @packageDocumentation */
import { formatLsn, KeyframeError, type Lsn } from '@keyframe/contracts';
import type { TimelineHistory } from '@keyframe/postgres';
import type { BackupRecord, EpochArchive } from '@keyframe/repository';
import type { StageOptions } from '../events.ts';
import type { WalEnd } from '@keyframe/wal';
import { describeTarget, type RecoveryTarget, type Resolution, resolveMoment, watchFor } from '../target/index.ts';
import { scanPath } from './scan-path.ts';
import type { PathSegment, WalPath } from './wal-path.ts';

export interface MomentRequest {
  readonly archive: EpochArchive;
  readonly history: TimelineHistory;
  readonly backup: BackupRecord;
  readonly wal: WalPath;
  readonly target: RecoveryTarget;
  /** Start of a newer backup from which the target was not found: only WAL before it is worth reading. */
  readonly before: Lsn | undefined;
}

/** Segments read before the one that decides, so that the last commit kept can be named. */
const LOOK_BACK = 4;

/**
 * The resolution of a target from one backup.
 * @throws {KeyframeError} WAL_GAP when a hole in the archive comes before the target; CORRUPT, UNAVAILABLE
 */
export async function findMoment(request: MomentRequest, options: StageOptions): Promise<Resolution> {
  const { wal, target } = request;
  if (wal.gap !== undefined && target.kind === 'latest') throw walGap(request, undefined);
  if (request.before !== undefined && (target.kind === 'xid' || target.kind === 'name')) {
    const part = wal.segments.filter(({ start }) => request.before === undefined || start <= request.before);
    const found = await resolve(request, part, options);
    if (!found.reachable) return found;
  }
  const resolution = await resolve(request, segmentsToRead(request), options);
  if (resolution.reachable && resolution.moment.end !== undefined && !isOpen(wal, resolution.moment.end))
    throw damagedWal(request, resolution.moment.end);
  if (!resolution.reachable && !resolution.why.mayBeEarlier && wal.gap !== undefined) throw walGap(request, resolution);
  return resolution;
}

/** The WAL of a segment that is still being written ends somewhere in it; what there is of it is proven by its hashes. */
function isOpen({ segments }: WalPath, { at }: WalEnd): boolean {
  const last = segments.at(-1);
  const before = segments.at(-2);
  // A record that begins in the segment before may end in it.
  return last?.endBytes !== undefined && at >= (before ?? last).start;
}

/** LSN and the end of WAL are places, not facts: only the segments around them have to be read. */
function segmentsToRead({ wal, target, backup }: MomentRequest): readonly PathSegment[] {
  const { segments } = wal;
  if (target.kind === 'latest') return segments.slice(-LOOK_BACK);
  if (target.kind !== 'lsn' || target.lsn < backup.stopLsn) return segments;
  const holder = segments.findLastIndex(({ start }) => start <= target.lsn);
  return segments.slice(Math.max(0, holder - LOOK_BACK));
}

async function resolve(
  { archive, backup, target, history }: MomentRequest,
  segments: readonly PathSegment[],
  options: StageOptions,
): Promise<Resolution> {
  const [first] = segments;
  const beginsAtRedo = first === undefined || first.start <= backup.startLsn;
  const scan = scanPath(
    {
      wal: archive.wal,
      segments,
      segmentSizeBytes: backup.walSegmentSizeBytes,
      history,
      from: beginsAtRedo ? backup.startLsn : undefined,
      watch: watchFor(target, backup.stopLsn),
    },
    options,
  );
  return resolveMoment(target, scan, {
    timeline: first?.timeline ?? backup.timeline,
    redo: backup.startLsn,
    consistentAt: backup.stopLsn,
    stoppedMicros: stoppedMicros(backup),
  });
}

/** Rounded up: a backup record may tell microseconds, Date only milliseconds. */
export const stoppedMicros = ({ stoppedAt }: BackupRecord): bigint => BigInt(Date.parse(stoppedAt)) * 1000n + 999n;

/** An archived segment is whole, so invalid WAL in it is damage. PostgreSQL would take it for the end and open the database. */
function damagedWal({ wal }: MomentRequest, { at, message }: WalEnd): KeyframeError {
  const segment = wal.segments.findLast(({ start }) => start <= at);
  return new KeyframeError(
    'WAL_INVALID',
    `the WAL ends inside segment ${segment?.name} at LSN ${formatLsn(at)}: ${message}`,
    {
      hint: `Recover up to there with --lsn ${formatLsn(at)} --exclusive; compare the segment with the server's own in pg_wal.`,
      details: { segment: segment?.name, lsn: formatLsn(at) },
    },
  );
}

/** The error that names the hole, and how far one gets without what is missing. */
export function walGap({ wal, target, backup }: MomentRequest, resolution: Resolution | undefined): KeyframeError {
  const { gap } = wal;
  const end = gap === undefined ? '' : formatLsn(gap.start);
  const last = resolution?.reachable === false ? resolution.nearest.lastCommit : undefined;
  const reachable = gap !== undefined && gap.start >= backup.stopLsn;
  return new KeyframeError(
    'WAL_GAP',
    `WAL segment ${gap?.name} is missing from the archive, before ${describeTarget(target)}`,
    {
      hint: reachable
        ? `Recover up to the gap with --lsn ${end} --exclusive, or from a newer backup; archive the segment with \`keyframe wal push\` if a server still has it.`
        : 'Use an older or newer backup (`keyframe list`), or archive the segment with `keyframe wal push` if a server still has it.',
      details: { missing: gap?.name, reachableLsn: reachable ? end : undefined, lastCommitXid: last?.xid },
    },
  );
}
