/** The newest moment that a recovery can reach, whatever is missing or damaged. @packageDocumentation */
import { formatLsn, hasCode, lsn, type TimelineId } from '@keyframe/contracts';
import { historyReaches, type TimelineHistory } from '@keyframe/postgres';
import type { BackupRecord, EpochArchive, WalInventory } from '@keyframe/repository';
import { createWalScanner } from '@keyframe/wal';
import { type StageOptions, warnOf } from '../events.ts';
import { type PathSegment, walPathFrom } from '../recovery/wal-path.ts';
import { scanSegment } from './scan-segment.ts';

/** How far recovery gets. */
export interface Recoverable {
  readonly timeline: TimelineId;
  /** Label of the backup that it begins from. */
  readonly backup: string;
  /** Where the WAL ends that can be replayed. */
  readonly lsn: string;
  /** Microseconds since 1970 of the last commit before it; absent where none was found in the last segments, or no key is here. */
  readonly commitTimeMicros: bigint | undefined;
  /** The segment that is missing or damaged there, although the archive has later ones. */
  readonly stoppedBy: string | undefined;
}

/** What is there of an archive, listed once. */
export interface ListedArchive {
  readonly archive: EpochArchive;
  readonly inventory: WalInventory;
  readonly histories: ReadonlyMap<TimelineId, TimelineHistory>;
  readonly backups: readonly BackupRecord[];
}

/** How many segments are read back at most to find a commit: an idle cluster's last ones may hold none. */
const LOOK_BACK = 4;

/** What of the WAL can be replayed behind one backup. */
interface Reach {
  readonly history: TimelineHistory;
  readonly backup: BackupRecord;
  readonly segments: readonly PathSegment[];
  readonly stoppedBy: string | undefined;
}

/**
 * The end of the newest timeline that can be reached from a backup. A damaged segment among the last ones ends it as a missing
 * one does.
 * @throws {KeyframeError} UNAVAILABLE, ACCESS_DENIED
 */
export async function newestRecoverable(
  listed: ListedArchive,
  options: StageOptions,
): Promise<Recoverable | undefined> {
  for (const history of [...listed.histories.values()].toSorted((one, other) => other.timeline - one.timeline)) {
    const reach = furthest(listed, history);
    if (reach !== undefined) return describe(listed, reach, options);
  }
  return undefined;
}

/** From the newest backup on whose way the fewest segments are missing. */
function furthest({ inventory, backups }: ListedArchive, history: TimelineHistory): Reach | undefined {
  const { segmentSizeBytes } = inventory;
  let best: Reach | undefined;
  let end = 0n;
  for (const backup of backups.toReversed()) {
    if (!historyReaches(history, backup.timeline, backup.stopLsn)) continue;
    const { segments, gap } = walPathFrom(history, inventory, backup.startLsn, segmentSizeBytes);
    const reached = endOf(segments.at(-1), segmentSizeBytes);
    if (reached < backup.stopLsn || reached <= end) continue;
    best = { history, backup, segments, stoppedBy: gap?.name };
    end = reached;
    if (gap === undefined) break;
  }
  return best;
}

const endOf = (segment: PathSegment | undefined, segmentSizeBytes: number): bigint =>
  segment === undefined ? 0n : segment.start + BigInt(segment.endBytes ?? segmentSizeBytes);

async function describe(
  { archive, inventory }: ListedArchive,
  { history, backup, segments, stoppedBy }: Reach,
  options: StageOptions,
): Promise<Recoverable> {
  const { segmentSizeBytes } = inventory;
  const told = { timeline: history.timeline, backup: backup.label };
  let end = lsn(endOf(segments.at(-1), segmentSizeBytes));
  let blocked = stoppedBy;
  for (const segment of segments.slice(-1 - LOOK_BACK).toReversed()) {
    const read = await lastCommit(archive, segment, segmentSizeBytes, options);
    if (read === 'closed') break;
    if (read === 'damaged') {
      // Behind it nothing is replayed.
      end = lsn(segment.start);
      blocked = segment.name;
    } else if (read !== undefined) return { ...told, lsn: formatLsn(end), commitTimeMicros: read, stoppedBy: blocked };
  }
  return { ...told, lsn: formatLsn(end), commitTimeMicros: undefined, stoppedBy: blocked };
}

/** When the last commit in a segment was; microseconds since 1970. `closed`: no key for it is here. */
export async function lastCommit(
  { wal }: EpochArchive,
  { name, start, endBytes }: PathSegment,
  segmentSizeBytes: number,
  options: StageOptions,
): Promise<bigint | 'closed' | 'damaged' | undefined> {
  try {
    const found = await (endBytes === undefined ? wal.get(name, options) : wal.getStreamed(name, endBytes, options));
    if (found === undefined) return 'damaged';
    const facts = await scanSegment(createWalScanner({ segmentSizeBytes }), found, { start, segmentSizeBytes });
    const commit = facts.findLast((fact) => fact.kind === 'commit');
    return commit?.kind === 'commit' ? commit.timeMicros : undefined;
  } catch (error) {
    if (hasCode(error, 'KEY_REQUIRED', 'KEY_WRONG')) return 'closed';
    if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT', 'WAL_INVALID')) throw error;
    warnOf(options)(error);
    return 'damaged';
  }
}
