/** What the archive holds of one cluster: timelines, gaps, the newest recoverable moment. @packageDocumentation */
import { type Abortable, formatLsn, hasCode, type Lsn, lsn, segmentName, type TimelineId } from '@keyframe/contracts';
import { historyReaches, type TimelineHistory } from '@keyframe/postgres';
import type { BackupRecord, EpochArchive, WalInventory } from '@keyframe/repository';
import { createWalScanner } from '@keyframe/wal';
import { formatMicros } from '../target/index.ts';
import { type StageOptions, warnOf } from '../events.ts';
import { walPathFrom } from '../recovery/wal-path.ts';
import { readHistories } from './histories.ts';
import { type ListedArchive, newestRecoverable, type Recoverable } from './recoverable.ts';
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
    | {
        readonly segment: string;
        readonly lsn: string;
        readonly commitTime: string | undefined;
        /** How much of that segment is there, where it is still being written and was streamed. */
        readonly streamedBytes: number | undefined;
      }
    | undefined;
  /** The newest moment that can be recovered; absent: none at all. */
  readonly recoverable:
    | (Omit<Recoverable, 'commitTimeMicros'> & { readonly commitTime: string | undefined })
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
  const histories = await readableHistories(archive, inventory, options);
  const listed = { archive, inventory, histories, backups };
  const recoverable = await newestRecoverable(listed, options);
  const timelines = inventory.timelines.map((timeline) => timelineStatus(inventory, histories, timeline));
  const continuity = backups.map((backup) => ({ backup: backup.label, gap: firstGapAfter(listed, backup) }));
  return {
    epoch: archive.epoch.number,
    systemIdentifier: archive.epoch.systemIdentifier,
    segmentSizeBytes: inventory.segmentSizeBytes,
    segments: inventory.segments,
    timelines,
    newest: await newestMoment(archive, inventory, options),
    recoverable: recoverable && withTime(recoverable),
    recoverableFrom: continuity.filter(({ gap }) => gap === undefined).map(({ backup }) => backup),
    brokenBy: continuity.flatMap(({ backup, gap }) => (gap === undefined ? [] : [{ backup, gap }])),
  };
}

function withTime({ commitTimeMicros, ...rest }: Recoverable): WalStatus['recoverable'] {
  return { ...rest, commitTime: commitTimeMicros === undefined ? undefined : formatMicros(commitTimeMicros) };
}

/** One that is damaged is told, and stands in the way of its own timeline alone. */
async function readableHistories(
  archive: EpochArchive,
  inventory: WalInventory,
  options: StageOptions,
): Promise<Map<TimelineId, TimelineHistory>> {
  const histories = new Map<TimelineId, TimelineHistory>();
  for (const timeline of [1, ...inventory.histories])
    try {
      const read = await readHistories(archive, inventory, options, timeline);
      for (const each of read.values()) histories.set(each.timeline, each);
    } catch (error) {
      if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT', 'KEY_REQUIRED', 'KEY_WRONG')) throw error;
      warnOf(options)(error);
    }
  return histories;
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

/** First missing segment between the backup's start and the end of the newest timeline that goes on from it. */
function firstGapAfter(
  { inventory, histories }: Omit<ListedArchive, 'archive'>,
  backup: BackupRecord,
): string | undefined {
  const { segmentSizeBytes } = inventory;
  const history = [...histories.values()]
    .toSorted((one, other) => other.timeline - one.timeline)
    .find((each) => historyReaches(each, backup.timeline, backup.stopLsn));
  const own = { timeline: backup.timeline, ancestors: [] };
  const { segments, gap } = walPathFrom(history ?? own, inventory, backup.startLsn, segmentSizeBytes);
  if (gap !== undefined) return gap.name;
  const next = segments.at(-1);
  const size = BigInt(segmentSizeBytes);
  const end =
    next === undefined ? (backup.startLsn / size) * size : next.start + BigInt(next.endBytes ?? segmentSizeBytes);
  // Without the last segment of its own making it never gets consistent, whatever else is there.
  return end < backup.stopLsn ? segmentName(backup.timeline, end / size, segmentSizeBytes) : undefined;
}

/** How many segments are read back at most to find a commit: an idle cluster's last ones may hold none. */
const LOOK_BACK = 4;

/** A segment in which the newest commit is looked for. */
interface NewestSegment {
  readonly number: bigint;
  /** Of one that is there in parts alone. */
  readonly endBytes: number | undefined;
}

/** The newest segments of a timeline, newest first: what was streamed of the open one, then whole ones. */
function newestSegments(inventory: WalInventory, timeline: TimelineId): NewestSegment[] {
  const last = inventory.ranges(timeline).at(-1);
  const streamed = inventory.streamed.findLast((each) => each.timeline === timeline);
  const isNewer = streamed !== undefined && (last === undefined || streamed.number > last.last);
  const segments: NewestSegment[] = isNewer ? [streamed] : [];
  if (last === undefined) return segments;
  for (let number = last.last; number >= last.first; number -= 1n) {
    if (segments.length > LOOK_BACK) break;
    segments.push({ number, endBytes: undefined });
  }
  return segments;
}

async function newestMoment(
  archive: EpochArchive,
  inventory: WalInventory,
  options: Abortable,
): Promise<WalStatus['newest']> {
  const timeline = Math.max(0, ...inventory.timelines, ...inventory.streamed.map((each) => each.timeline));
  const segments = newestSegments(inventory, timeline);
  const [last] = segments;
  if (last === undefined) return undefined;
  const { segmentSizeBytes } = inventory;
  const name = (number: bigint): string => segmentName(timeline, number, segmentSizeBytes);
  const newest = (position: Lsn, micros: bigint | undefined): WalStatus['newest'] => ({
    segment: name(last.number),
    lsn: formatLsn(position),
    commitTime: micros === undefined ? undefined : formatMicros(micros),
    streamedBytes: last.endBytes,
  });
  const reached = lsn(last.number * BigInt(segmentSizeBytes) + BigInt(last.endBytes ?? segmentSizeBytes));
  let end: Lsn | undefined;
  for (const { number, endBytes } of segments) {
    const found = await readable(archive, name(number), endBytes, options);
    if (found === 'closed') return newest(reached, undefined);
    if (found === undefined) continue;
    const scanner = createWalScanner({ segmentSizeBytes });
    const start = (number * BigInt(segmentSizeBytes)) as Lsn;
    const facts = await scanned(scanner, found, { start, segmentSizeBytes });
    // A part may hold nothing but the rest of a record that began before.
    if (scanner.position > 0n) end ??= scanner.position;
    const commit = facts.findLast((fact) => fact.kind === 'commit');
    if (commit?.kind === 'commit' && end !== undefined) return newest(end, commit.timeMicros);
  }
  return newest(end ?? reached, undefined);
}

/** What a damaged segment tells is nothing; that it is damaged is told where it is asked how far recovery gets. */
async function scanned(...[scanner, found, place]: Parameters<typeof scanSegment>): ReturnType<typeof scanSegment> {
  try {
    return await scanSegment(scanner, found, place);
  } catch (error) {
    if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT', 'WAL_INVALID')) throw error;
    return [];
  }
}

/** A host that holds public keys only cannot look into what it archived; how far it reaches it knows all the same. */
async function readable(
  { wal }: EpochArchive,
  name: string,
  endBytes: number | undefined,
  options: Abortable,
): Promise<Awaited<ReturnType<EpochArchive['wal']['get']>> | 'closed'> {
  try {
    return await (endBytes === undefined ? wal.get(name, options) : wal.getStreamed(name, endBytes, options));
  } catch (error) {
    if (hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT')) return undefined;
    if (!hasCode(error, 'KEY_REQUIRED', 'KEY_WRONG')) throw error;
    return 'closed';
  }
}
