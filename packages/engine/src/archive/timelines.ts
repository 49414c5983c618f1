/** The tree of timelines in an archive: where they fork, what lies on them, how far each can be recovered. @packageDocumentation */
import { formatLsn, hasCode, type Lsn, lsn, segmentName, type TimelineId } from '@keyframe/contracts';
import { historyReaches, type TimelineHistory, timelineAt } from '@keyframe/postgres';
import type { BackupRecord, EpochArchive, WalInventory } from '@keyframe/repository';
import { createWalScanner } from '@keyframe/wal';
import { type StageOptions, warnOf } from '../events.ts';
import { walPathFrom } from '../recovery/wal-path.ts';
import { formatMicros } from '../target/index.ts';
import { readHistories } from './histories.ts';
import { scanSegment } from './scan-segment.ts';

/** Where a timeline left its parent. */
export interface TimelineFork {
  readonly from: TimelineId;
  readonly lsn: string;
  /** Commit time of the last transaction that both have; absent where that WAL cannot be read. */
  readonly time: string | undefined;
  /** As its history file says it. */
  readonly reason: string;
}

/** How far a recovery along a timeline gets. */
export interface TimelineReach {
  /** The newest backup that reaches its end, or without one the backup that gets farthest. */
  readonly backup: string;
  /** The first segment that is missing after that backup; absent: it gets to the end of what is archived. */
  readonly gap: string | undefined;
}

/** One branch of the tree. */
export interface TimelineBranch {
  readonly timeline: TimelineId;
  readonly fork: TimelineFork | undefined;
  /** Archived segments that are its own. */
  readonly segments: number;
  readonly first: string | undefined;
  readonly last: string | undefined;
  /** End of its last archived segment. */
  readonly endLsn: string | undefined;
  readonly backups: readonly { readonly label: string; readonly stopLsn: string; readonly stoppedAt: string }[];
  /** Undefined: no backup lies on its history, or what it needs is missing. */
  readonly reach: TimelineReach | undefined;
  /** Its history file is missing or damaged, so where it belongs is not known. */
  readonly lacksHistory: boolean;
}

/** The timelines of one epoch. */
export interface TimelineTree {
  readonly epoch: number;
  readonly systemIdentifier: string;
  /** The one that `plan` and `restore` follow unless told otherwise. */
  readonly newest: TimelineId;
  /** By number; a parent has a lower one than its children. */
  readonly timelines: readonly TimelineBranch[];
}

/** @throws {KeyframeError} CORRUPT, UNAVAILABLE, ACCESS_DENIED */
export async function timelineTree(archive: EpochArchive, options: StageOptions = {}): Promise<TimelineTree> {
  const backups = await archive.backups.list({ ...options, onDamage: warnOf(options) });
  const segmentSizeBytes = backups.at(-1)?.walSegmentSizeBytes;
  const inventory = await archive.wal.inventory({ ...options, segmentSizeBytes });
  const histories = await readHistories(archive, inventory, options);
  const known = new Set([...histories.keys(), ...inventory.timelines, ...backups.map(({ timeline }) => timeline)]);
  const timelines: TimelineBranch[] = [];
  for (const timeline of [...known].toSorted((one, other) => one - other)) {
    const history = histories.get(timeline);
    const fork = history === undefined ? undefined : await forkOf(archive, inventory, history, options);
    timelines.push({ ...branchOf(timeline, inventory, history, backups), fork });
  }
  const newest = [1, ...inventory.histories].at(-1) ?? 1;
  const { number, systemIdentifier } = archive.epoch;
  return { epoch: number, systemIdentifier, newest, timelines };
}

function branchOf(
  timeline: TimelineId,
  inventory: WalInventory,
  history: TimelineHistory | undefined,
  backups: readonly BackupRecord[],
): Omit<TimelineBranch, 'fork'> {
  const size = BigInt(inventory.segmentSizeBytes);
  const ranges = inventory.ranges(timeline);
  const nameOf = (number: bigint | undefined): string | undefined =>
    number === undefined ? undefined : segmentName(timeline, number, inventory.segmentSizeBytes);
  const last = ranges.at(-1)?.last;
  return {
    timeline,
    segments: ranges.reduce((sum, range) => sum + Number(range.last - range.first) + 1, 0),
    first: nameOf(ranges[0]?.first),
    last: nameOf(last),
    endLsn: last === undefined ? undefined : formatLsn(lsn((last + 1n) * size)),
    backups: backups
      .filter((backup) => backup.timeline === timeline)
      .map(({ label, stopLsn, stoppedAt }) => ({ label, stopLsn: formatLsn(stopLsn), stoppedAt })),
    reach: history === undefined ? undefined : reachOf(history, inventory, backups),
    lacksHistory: history === undefined,
  };
}

/** From the newest backup on, the first from which nothing is missing. */
function reachOf(
  history: TimelineHistory,
  inventory: WalInventory,
  backups: readonly BackupRecord[],
): TimelineReach | undefined {
  let best: { readonly reach: TimelineReach; readonly until: Lsn } | undefined;
  const onPath = backups
    .filter(({ timeline, stopLsn }) => historyReaches(history, timeline, stopLsn))
    .toSorted((one, other) => (one.stopLsn < other.stopLsn ? 1 : -1));
  for (const backup of onPath) {
    const { segments, gap } = walPathFrom(history, inventory, backup.startLsn, backup.walSegmentSizeBytes);
    const end = (segments.at(-1)?.start ?? 0n) + BigInt(backup.walSegmentSizeBytes);
    if (gap === undefined && segments.length > 0 && end >= backup.stopLsn)
      return { backup: backup.label, gap: undefined };
    if (gap === undefined || gap.start < backup.stopLsn || (best !== undefined && best.until >= gap.start)) continue;
    best = { reach: { backup: backup.label, gap: gap.name }, until: gap.start };
  }
  return best?.reach;
}

async function forkOf(
  archive: EpochArchive,
  inventory: WalInventory,
  history: TimelineHistory,
  options: StageOptions,
): Promise<TimelineFork | undefined> {
  const parent = history.ancestors.at(-1);
  if (parent === undefined) return undefined;
  const micros = await lastCommitBefore(archive, inventory, history, parent.end, options);
  return {
    from: parent.timeline,
    lsn: formatLsn(parent.end),
    time: micros === undefined ? undefined : formatMicros(micros),
    reason: parent.reason,
  };
}

/** Segments read back at most to find it. */
const LOOK_BACK = 3;

async function lastCommitBefore(
  archive: EpochArchive,
  inventory: WalInventory,
  history: TimelineHistory,
  end: Lsn,
  options: StageOptions,
): Promise<bigint | undefined> {
  const { segmentSizeBytes } = inventory;
  const size = BigInt(segmentSizeBytes);
  const holder = (end - 1n) / size;
  for (let number = holder; number >= 0n && number > holder - BigInt(LOOK_BACK); number -= 1n) {
    const start = lsn(number * size);
    // The segment with the fork is a copy of the parent's up to there, on the child's side too.
    const names = [timelineAt(history, lsn(end - 1n)), history.timeline].map((timeline) =>
      segmentName(timeline, number, segmentSizeBytes),
    );
    const name = names.find((each) => inventory.has(each));
    if (name === undefined) return undefined;
    try {
      const found = await archive.wal.get(name, options);
      if (found === undefined) return undefined;
      const facts = await scanSegment(createWalScanner({ segmentSizeBytes }), found, { start, segmentSizeBytes });
      const commit = facts.findLast((fact) => fact.kind === 'commit' && fact.endLsn <= end);
      if (commit?.kind === 'commit') return commit.timeMicros;
    } catch (error) {
      // A host without a private key, or a damaged segment: the tree stands without that time.
      if (!hasCode(error, 'KEY_REQUIRED', 'KEY_WRONG', 'CORRUPT', 'WAL_INVALID')) throw error;
      return undefined;
    }
  }
  return undefined;
}
