/**
 * Decides a recovery before anything is touched: the timeline by history, the backup by proof, the WAL by inventory, and the exact
 * record at which PostgreSQL will stop by reading that WAL.
 * @packageDocumentation
 */
import { formatLsn, hasCode, isKeyframeError, KeyframeError, type Lsn, type TimelineId } from '@keyframe/contracts';
import { historyReaches, type RecoveryStop, type TimelineHistory } from '@keyframe/postgres';
import type { BackupRecord, ClusterHistory, EpochArchive, StreamedSegment, WalInventory } from '@keyframe/repository';
import { readHistories } from '../archive/histories.ts';
import { type StageOptions, warnOf } from '../events.ts';
import {
  describeTarget,
  formatMicros,
  type Moment,
  type RecoveryTarget,
  type Resolution,
  stopOf,
  unreachableError,
} from '../target/index.ts';
import { damagedBackups, type KnownPackDamage } from '../verify/damaged-backups.ts';
import { type Branch, branchesBeside, withBranches } from './branches.ts';
import { chooseTimeline } from './choose-timeline.ts';
import { findMoment, stoppedMicros, walGap } from './find-moment.ts';
import { walPathFrom, type WalPath } from './wal-path.ts';
import { walToRead } from './wal-to-read.ts';

export interface PlanContext {
  readonly history: ClusterHistory;
}

export interface PlanRequest {
  readonly target: RecoveryTarget;
  /** Label of the backup to start from. Default: the newest that is consistent before the target. */
  readonly backup?: string | undefined;
}

/** A decided recovery: which backup, which WAL, and where exactly it stops. Applying it needs no further decision. */
export interface RecoveryPlan {
  readonly archive: EpochArchive;
  readonly target: RecoveryTarget;
  /** The same for PostgreSQL. */
  readonly stop: RecoveryStop;
  readonly timeline: TimelineId;
  readonly backup: BackupRecord;
  readonly wal: WalPath;
  readonly moment: Moment;
  /** The archive as it was when this was planned; restore_command carries it. */
  readonly frozen: string;
  /** Where the request named no timeline: what else could have been followed. */
  readonly branches: readonly Branch[];
  /** Packs of the backup itself that are known to be damaged or missing: nothing else reaches the target. */
  readonly damage: readonly KnownPackDamage[];
  /** Newer backups that would have done as well, but for damage that is known of them. */
  readonly passedOver: readonly PassedOver[];
}

/** A backup that was not chosen for what is known of it. */
export interface PassedOver {
  readonly label: string;
  readonly damage: readonly KnownPackDamage[];
}

/** What an epoch says of a target, a backup or a timeline that an older one may know. */
const MAY_BE_OLDER = ['TARGET_BEFORE_BACKUP', 'TARGET_NOT_FOUND', 'BACKUP_NOT_FOUND', 'WRONG_TIMELINE'] as const;

/**
 * Plans a recovery. Changes nothing.
 * @throws {KeyframeError} NO_BACKUP, BACKUP_NOT_FOUND, TARGET_BEFORE_BACKUP, TARGET_NOT_FOUND, TARGET_UNREACHABLE, WAL_GAP,
 * WRONG_TIMELINE, SIGNATURE_INVALID, CORRUPT, UNAVAILABLE
 */
export async function planRecovery(
  context: PlanContext,
  request: PlanRequest,
  options: StageOptions = {},
): Promise<RecoveryPlan> {
  const epochs = (await context.history.epochs(options)).toReversed();
  let refused: KeyframeError | undefined;
  let damaged: KeyframeError | undefined;
  const warn = warnOf(options);
  const known = await damagedBackups(context.history, options);
  const onDamage = (fault: KeyframeError): void => {
    damaged ??= fault;
    warn(fault);
  };
  for (const { number } of epochs) {
    const archive = await context.history.at(number, options);
    const backups = await archive.backups.list({ ...options, onDamage });
    if (backups.length === 0) continue;
    try {
      return await planInEpoch(archive, { backups, known }, request, options);
    } catch (error) {
      // Before a pg_upgrade the cluster had another system identifier: its WAL is in an older epoch.
      if (!hasCode(error, ...MAY_BE_OLDER)) throw error;
      refused ??= error;
    }
  }
  throw (
    // The backup that would do may be the one whose record cannot be read.
    damaged ??
    refused ??
    new KeyframeError('NO_BACKUP', `there is no backup of cluster ${context.history.name} to recover from`, {
      hint: 'Take one with `keyframe backup`; WAL alone cannot be recovered.',
    })
  );
}

async function planInEpoch(
  archive: EpochArchive,
  { backups, known }: { readonly backups: readonly BackupRecord[]; readonly known: readonly KnownPackDamage[] },
  request: PlanRequest,
  options: StageOptions,
): Promise<RecoveryPlan> {
  const segmentSizeBytes = backups[0]?.walSegmentSizeBytes;
  const inventory = await archive.wal.inventory({ ...options, segmentSizeBytes });
  const histories = await readHistories(archive, inventory, options, request.target.timeline);
  const history = chooseTimeline(histories, inventory, request.target.timeline);
  const branches = request.target.timeline === undefined ? branchesBeside(history, inventory) : [];
  try {
    const course = { archive, backups, history, inventory };
    return { ...(await planWhole(course, known, request, options)), branches };
  } catch (error) {
    throw isKeyframeError(error) ? withBranches(error, history.timeline, branches) : error;
  }
}

/** A timeline of an epoch, with what there is to follow it. */
interface Course {
  readonly archive: EpochArchive;
  readonly backups: readonly BackupRecord[];
  readonly history: TimelineHistory;
  readonly inventory: WalInventory;
}

/** From a backup of which no damage is known, where one reaches the target; else from any. */
async function planWhole(
  course: Course,
  known: readonly KnownPackDamage[],
  request: PlanRequest,
  options: StageOptions,
): Promise<Omit<RecoveryPlan, 'branches'>> {
  const damageOf = ({ label }: BackupRecord): readonly KnownPackDamage[] =>
    known.filter(({ backups }) => backups.includes(label));
  const sound = course.backups.filter((each) => damageOf(each).length === 0);
  if (request.backup === undefined && sound.length > 0 && sound.length < course.backups.length) {
    const plan = await planAlong({ ...course, backups: sound }, request, options).catch((error: unknown) => {
      if (!isKeyframeError(error)) throw error;
      return undefined;
    });
    if (plan !== undefined) {
      const { stopsAt } = plan.moment;
      const isPassedOver = ({ stopLsn }: BackupRecord): boolean => stopLsn > plan.backup.stopLsn && stopLsn <= stopsAt;
      const passedOver = course.backups.filter((each) => !sound.includes(each) && isPassedOver(each));
      return {
        ...plan,
        damage: [],
        passedOver: passedOver.map((each) => ({ label: each.label, damage: damageOf(each) })),
      };
    }
  }
  const plan = await planAlong(course, request, options);
  return { ...plan, damage: damageOf(plan.backup), passedOver: [] };
}

type Planned = Omit<RecoveryPlan, 'branches' | 'damage' | 'passedOver'>;

async function planAlong(
  { archive, backups, history, inventory }: Course,
  request: PlanRequest,
  options: StageOptions,
): Promise<Planned> {
  const candidates = chooseCandidates(backups, history, request.backup);
  const refused: Refusals = { first: undefined, last: undefined, gap: undefined };
  let before: Lsn | undefined;
  for (const backup of candidates) {
    const { target } = request;
    const wal = walPathFrom(history, inventory, backup.startLsn, backup.walSegmentSizeBytes);
    const attempt = { archive, history, backup, wal, target, before };
    if (wal.gap !== undefined) refused.gap ??= walGap(attempt, undefined);
    // Without the WAL of its own making a backup never gets consistent; an older one may still reach an earlier target.
    if (wal.gap !== undefined && wal.gap.start < backup.stopLsn) continue;
    const resolution = await findMoment(attempt, options);
    if (resolution.reachable) {
      await archive.chain.assertTrusted(backup, options);
      const { moment } = resolution;
      const frozen = inventory.toText(streamedOn(wal, backup.walSegmentSizeBytes));
      return { archive, target, stop: stopAt(target, moment), timeline: history.timeline, backup, wal, moment, frozen };
    }
    refused.first ??= resolution;
    refused.last = resolution;
    if (!resolution.why.mayBeEarlier) break;
    before = backup.startLsn;
  }
  throw refusal(refused, candidates, request.target);
}

/** The segments that recovery is given from parts, each exactly as far as it was planned. */
function streamedOn({ segments }: WalPath, segmentSizeBytes: number): readonly StreamedSegment[] {
  return segments.flatMap(({ timeline, start, endBytes }) =>
    endBytes === undefined ? [] : [{ timeline, number: start / BigInt(segmentSizeBytes), endBytes }],
  );
}

/**
 * The end of the WAL is written down as the LSN of its last record. Without a target PostgreSQL would take whatever it cannot
 * read for the end and open the database with less; with one it refuses to. An action at the target counts only then, too.
 */
function stopAt(target: RecoveryTarget, { record }: Moment): RecoveryStop {
  if (target.kind !== 'latest' || record === undefined) return stopOf(target);
  return { kind: 'lsn', lsn: record, inclusive: true };
}

interface Refusals {
  /** From the newest backup. */
  first: Unreachable | undefined;
  /** From the oldest backup that was tried. */
  last: Unreachable | undefined;
  gap: KeyframeError | undefined;
}

/** Where a hole could hide the target, the hole is the reason. */
function refusal(
  { first, last, gap }: Refusals,
  candidates: readonly BackupRecord[],
  target: RecoveryTarget,
): KeyframeError {
  if (gap !== undefined && (first === undefined || first.why.mayBeEarlier)) return gap;
  if (first === undefined || last?.why.reason === 'before-consistency') return beforeEveryBackup(candidates, target);
  // What an older backup knows for certain, such as the last commit of all, a newer one may have had no way to see.
  const { why, nearest } = last?.why.mayBeEarlier === false ? last : first;
  return unreachableError(why, nearest);
}

type Unreachable = Extract<Resolution, { reachable: false }>;

/** Backups that lie on the timeline's history before its forks, newest first. */
function chooseCandidates(
  backups: readonly BackupRecord[],
  history: TimelineHistory,
  label: string | undefined,
): readonly BackupRecord[] {
  const onPath = backups
    .filter(({ timeline, stopLsn }) => historyReaches(history, timeline, stopLsn))
    .toSorted((a, b) => (a.stopLsn < b.stopLsn ? 1 : -1));
  const wanted = label === undefined || label === 'latest' ? onPath : onPath.filter((each) => each.label === label);
  if (wanted.length > 0) return label === 'latest' ? wanted.slice(0, 1) : wanted;
  const elsewhere = backups.map((each) => `${each.label} on timeline ${each.timeline}`);
  if (label !== undefined && !backups.some((each) => each.label === label))
    throw new KeyframeError('BACKUP_NOT_FOUND', `there is no backup ${JSON.stringify(label)}`, {
      hint: `Name one of \`keyframe list\`: ${elsewhere.slice(-5).join(', ')}.`,
    });
  throw new KeyframeError('WRONG_TIMELINE', `no such backup lies on the history of timeline ${history.timeline}`, {
    hint: `Choose the timeline with --timeline; there are ${elsewhere.slice(-5).join(', ')}.`,
    details: { timeline: history.timeline },
  });
}

function beforeEveryBackup(candidates: readonly BackupRecord[], target: RecoveryTarget): KeyframeError {
  const oldest = candidates.at(-1);
  return new KeyframeError(
    'TARGET_BEFORE_BACKUP',
    `${describeTarget(target)} lies before the first moment that can be recovered`,
    {
      hint:
        oldest === undefined
          ? 'Take a backup with `keyframe backup`.'
          : `The earliest is the end of backup ${oldest.label}: --lsn ${formatLsn(oldest.stopLsn)}, or --time "${formatMicros(stoppedMicros(oldest))}" and later.`,
      details: {
        earliestLsn: oldest === undefined ? undefined : formatLsn(oldest.stopLsn),
        earliestBackup: oldest?.label,
      },
    },
  );
}

interface TransactionReport {
  readonly xid: number;
  readonly time: string;
  readonly lsn: string;
}

/** A plan as `--json` shows it. */
export interface PlanReport {
  readonly target: string;
  readonly timeline: TimelineId;
  /** Where no timeline was asked for: what else could have been followed. */
  readonly branches: readonly Branch[];
  /** Packs of the backup that are known to be damaged or missing. */
  readonly damage: readonly KnownPackDamage[];
  /** Newer backups that were passed over for such damage. */
  readonly passedOver: readonly PassedOver[];
  readonly epoch: number;
  readonly backup: {
    readonly label: string;
    readonly startLsn: string;
    readonly stopLsn: string;
    readonly sizeBytes: number;
  };
  /** What the recovery reads: from the start of the backup to where it stops. */
  readonly wal: {
    readonly segments: number;
    readonly bytes: number;
    readonly first: string | undefined;
    readonly last: string | undefined;
  };
  readonly stopsAt: string | undefined;
  readonly lastKept: TransactionReport | undefined;
  readonly firstLost: TransactionReport | undefined;
}

/** The plan as plain data, LSNs and times as text. */
export function describePlan(plan: RecoveryPlan): PlanReport {
  const { backup, moment } = plan;
  const wal = walToRead(plan.wal, moment);
  const transaction = (each: Moment['lastKept']): TransactionReport | undefined =>
    each === undefined ? undefined : { xid: each.xid, time: formatMicros(each.timeMicros), lsn: formatLsn(each.lsn) };
  return {
    target: describeTarget(plan.target),
    timeline: plan.timeline,
    branches: plan.branches,
    damage: plan.damage,
    passedOver: plan.passedOver,
    epoch: plan.archive.epoch.number,
    backup: {
      label: backup.label,
      startLsn: formatLsn(backup.startLsn),
      stopLsn: formatLsn(backup.stopLsn),
      sizeBytes: backup.sizeBytes,
    },
    wal: {
      segments: wal.length,
      bytes: wal.length * backup.walSegmentSizeBytes,
      first: wal[0]?.name,
      last: wal.at(-1)?.name,
    },
    stopsAt: formatLsn(moment.stopsAt),
    lastKept: transaction(moment.lastKept),
    firstLost: transaction(moment.firstLost),
  };
}
