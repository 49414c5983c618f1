/** What the archive holds of one cluster: timelines, gaps, the newest recoverable moment. @packageDocumentation */
import { type Abortable, formatLsn, hasCode, type Lsn, lsn, segmentName, type TimelineId } from '@keyframe/contracts';
import type { TimelineHistory } from '@keyframe/postgres';
import type { BackupRecord, EpochArchive, WalInventory } from '@keyframe/repository';
import { createWalScanner } from '@keyframe/wal';
import { formatMicros } from '../target/index.ts';
import { type StageOptions, warnOf } from '../events.ts';
import { readHistories } from './histories.ts';
import { scanSegment } from './scan-segment.ts';

export interface ArchivedRange {
  readonly first: string;
  readonly last: string;
  readonly segments: number;
}

/** What the archive holds of one timeline. */
export interface TimelineStatus {
  readonly timeline: TimelineId;
  readonly forkedFrom: TimelineId | undefined;
  readonly forkedAt: string | undefined;
  readonly ranges: readonly ArchivedRange[];
  readonly gaps: readonly { readonly first: string; readonly last: string; readonly segments: number }[];
}

/** What the archive holds of an epoch, its gaps, and how far it reaches. */
export interface WalStatus {
  readonly epoch: number;
  readonly systemIdentifier: string;
  readonly segmentSizeBytes: number;
  readonly segments: number;
  readonly timelines: readonly TimelineStatus[];
  /** Last commit in the newest archived segment of the newest timeline: nothing later can be recovered. */
  readonly newest:
    | { readonly segment: string; readonly lsn: string; readonly commitTime: string | undefined }
    | undefined;
  /** Published backups whose WAL up to the newest archived segment has no gap. */
  readonly recoverableFrom: readonly string[];
  /** Gaps that cut a published backup off from what follows it. */
  readonly brokenBy: readonly { readonly backup: string; readonly gap: string }[];
}

/** @throws {KeyframeError} CORRUPT, UNAVAILABLE, ACCESS_DENIED */
export async function walStatus(archive: EpochArchive, options: StageOptions = {}): Promise<WalStatus> {
  const backups = await archive.backups.list({ ...options, onDamage: warnOf(options) });
  // Told, it need not be read from a segment that may be the damaged one.
  const segmentSizeBytes = backups.at(-1)?.walSegmentSizeBytes;
  const inventory = await archive.wal.inventory({ ...options, segmentSizeBytes });
  const histories = await readHistories(archive, inventory, options);
  const timelines = inventory.timelines.map((timeline) => timelineStatus(inventory, histories, timeline));
  const continuity = backups.map((backup) => ({ backup: backup.label, gap: firstGapAfter(inventory, backup) }));
  return {
    epoch: archive.epoch.number,
    systemIdentifier: archive.epoch.systemIdentifier,
    segmentSizeBytes: inventory.segmentSizeBytes,
    segments: inventory.segments,
    timelines,
    newest: await newestMoment(archive, inventory, options),
    recoverableFrom: continuity.filter(({ gap }) => gap === undefined).map(({ backup }) => backup),
    brokenBy: continuity.flatMap(({ backup, gap }) => (gap === undefined ? [] : [{ backup, gap }])),
  };
}

function timelineStatus(
  inventory: WalInventory,
  histories: ReadonlyMap<TimelineId, TimelineHistory>,
  timeline: TimelineId,
): TimelineStatus {
  const fork = histories.get(timeline)?.ancestors.at(-1);
  const held = inventory.ranges(timeline);
  const name = (number: bigint): string => segmentName(timeline, number, inventory.segmentSizeBytes);
  const range = (first: bigint, last: bigint): ArchivedRange => ({
    first: name(first),
    last: name(last),
    segments: Number(last - first) + 1,
  });
  return {
    timeline,
    forkedFrom: fork?.timeline,
    forkedAt: fork === undefined ? undefined : formatLsn(fork.end),
    ranges: held.map(({ first, last }) => range(first, last)),
    gaps: held.slice(1).map(({ first }, index) => range((held[index]?.last ?? 0n) + 1n, first - 1n)),
  };
}

/** First missing segment between the backup's start and the end of its own timeline in the archive. */
function firstGapAfter(inventory: WalInventory, backup: BackupRecord): string | undefined {
  const start = backup.startLsn / BigInt(inventory.segmentSizeBytes);
  const ranges = inventory.ranges(backup.timeline);
  const holding = ranges.find(({ first, last }) => first <= start && start <= last);
  if (holding === undefined) return segmentName(backup.timeline, start, inventory.segmentSizeBytes);
  const stop = (backup.stopLsn - 1n) / BigInt(inventory.segmentSizeBytes);
  // Without the last segment of its own making it never gets consistent, whatever else is there.
  if (holding === ranges.at(-1) && holding.last >= stop) return undefined;
  return segmentName(backup.timeline, holding.last + 1n, inventory.segmentSizeBytes);
}

/** How many segments are read back at most to find a commit: an idle cluster's last ones may hold none. */
const LOOK_BACK = 4;

async function newestMoment(
  archive: EpochArchive,
  inventory: WalInventory,
  options: Abortable,
): Promise<WalStatus['newest']> {
  const timeline = inventory.timelines.at(-1);
  const last = timeline === undefined ? undefined : inventory.ranges(timeline).at(-1);
  if (timeline === undefined || last === undefined) return undefined;
  const { segmentSizeBytes } = inventory;
  let end: Lsn | undefined;
  for (let number = last.last; number >= last.first && number > last.last - BigInt(LOOK_BACK); number -= 1n) {
    const found = await readable(archive, segmentName(timeline, number, segmentSizeBytes), options);
    if (found === 'closed') return newest(lsn((last.last + 1n) * BigInt(segmentSizeBytes)), undefined);
    if (found === undefined) break;
    const scanner = createWalScanner({ segmentSizeBytes });
    const start = (number * BigInt(segmentSizeBytes)) as Lsn;
    const facts = await scanSegment(scanner, found, { start, segmentSizeBytes });
    end ??= scanner.position;
    const commit = facts.findLast((fact) => fact.kind === 'commit');
    if (commit?.kind === 'commit') return newest(end, commit.timeMicros);
  }
  return end === undefined ? undefined : newest(end, undefined);

  function newest(position: Lsn, micros: bigint | undefined): WalStatus['newest'] {
    const segment = segmentName(timeline ?? 1, last?.last ?? 0n, segmentSizeBytes);
    return { segment, lsn: formatLsn(position), commitTime: micros === undefined ? undefined : formatMicros(micros) };
  }
}

/** A host that holds public keys only cannot look into what it archived; how far it reaches it knows all the same. */
async function readable(
  { wal }: EpochArchive,
  name: string,
  options: Abortable,
): Promise<Awaited<ReturnType<EpochArchive['wal']['get']>> | 'closed'> {
  try {
    return await wal.get(name, options);
  } catch (error) {
    if (!hasCode(error, 'KEY_REQUIRED', 'KEY_WRONG')) throw error;
    return 'closed';
  }
}
