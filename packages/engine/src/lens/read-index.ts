/** Reads the index along a timeline's history. @packageDocumentation */
import { type Abortable, hasCode, type KeyframeError, type Lsn, type TimelineId } from '@keyframe/contracts';
import { segmentTimelines, type TimelineHistory } from '@keyframe/postgres';
import type { EpochArchive, SegmentSummary, WalIndexCache, WalIndexRef } from '@keyframe/repository';
import type { SegmentIndex } from '@keyframe/wal';
import { coveringRefs } from './coverage.ts';

/** Objects that are asked for ahead. */
const AHEAD = 8;

/** What is read. */
export interface ReadIndexOptions extends Abortable {
  readonly history: TimelineHistory;
  readonly segmentSizeBytes: number;
  /** Segments that hold WAL from here on, and before there. Default: all. */
  readonly from?: Lsn | undefined;
  readonly to?: Lsn | undefined;
  /** Which segments are worth reading in detail, told by their summaries alone. Default: all. */
  readonly wants?: ((summary: SegmentSummary) => boolean) | undefined;
  readonly cache?: WalIndexCache | undefined;
  /** Told of an object that cannot be read: true once it was made anew, else it is left out. Default: it is thrown. */
  readonly onDamage?: ((error: KeyframeError, ref: WalIndexRef) => Promise<boolean>) | undefined;
}

/** What the index says of one segment: its summary, and its details if they were wanted. */
export interface ReadSegmentIndex {
  readonly summary: SegmentSummary;
  readonly index: SegmentIndex | undefined;
}

/**
 * The indexed segments of a history in the order of WAL, each once: at a fork the child's copy. Segments that are not indexed
 * are passed over in silence: compare `summary.startLsn` with the `endLsn` before.
 * @throws {KeyframeError} KEY_REQUIRED, KEY_WRONG, UNAVAILABLE, ACCESS_DENIED, CORRUPT
 */
export async function* readIndex(
  archive: Pick<EpochArchive, 'index'>,
  options: ReadIndexOptions,
): AsyncGenerator<ReadSegmentIndex> {
  const { history, segmentSizeBytes, from, to } = options;
  const timelines = [...history.ancestors.map(({ timeline }) => timeline), history.timeline];
  const size = BigInt(segmentSizeBytes);
  const refs = await archive.index.list(options);
  const wanted = timelines
    .flatMap((timeline) => coveringRefs(refs, timeline))
    .filter((ref) => (from === undefined || ref.endLsn > from) && (to === undefined || ref.startLsn < to))
    .filter((ref) => isOnPath(history, ref, segmentSizeBytes))
    .toSorted((a, b) => Number(a.startLsn - b.startLsn) || a.timeline - b.timeline);
  let next = 0n;
  for await (const segments of detailsOf(archive, wanted, options))
    for (const segment of segments) {
      const { timeline, startLsn, endLsn } = segment.summary;
      const [owner] = segmentTimelines(history, startLsn / size, segmentSizeBytes);
      const isWanted = (from === undefined || endLsn > from) && (to === undefined || startLsn < to);
      if (owner !== timeline || !isWanted || startLsn < next) continue;
      next = endLsn;
      yield segment;
    }
}

/** Of a dead branch nothing is wanted. */
function isOnPath(history: TimelineHistory, ref: WalIndexRef, segmentSizeBytes: number): boolean {
  const [owner = 0] = segmentTimelines(history, ref.startLsn / BigInt(segmentSizeBytes), segmentSizeBytes);
  const end: TimelineId[] = [
    ...segmentTimelines(history, ref.endLsn / BigInt(segmentSizeBytes) - 1n, segmentSizeBytes),
  ];
  return owner === ref.timeline || end.includes(ref.timeline) || (owner < ref.timeline && end.length > 0);
}

async function* detailsOf(
  archive: Pick<EpochArchive, 'index'>,
  refs: readonly WalIndexRef[],
  options: ReadIndexOptions,
): AsyncGenerator<readonly ReadSegmentIndex[]> {
  const coming: Promise<readonly ReadSegmentIndex[]>[] = [];
  for (let at = 0; at < refs.length || coming.length > 0;) {
    options.signal?.throwIfAborted();
    for (let ref = refs[at]; ref !== undefined && coming.length < AHEAD; ref = refs[at]) {
      at += 1;
      const read = readDetails(archive, ref, options);
      // Awaited in its turn; until then its rejection is not unhandled.
      read.catch(() => undefined);
      coming.push(read);
    }
    const first = coming.shift();
    if (first !== undefined) yield await first;
  }
}

async function readDetails(
  { index }: Pick<EpochArchive, 'index'>,
  ref: WalIndexRef,
  options: ReadIndexOptions,
): Promise<readonly ReadSegmentIndex[]> {
  const { wants, onDamage } = options;
  try {
    const opened = await index.open(ref, options);
    if (opened === undefined) return await readReplaced(index, ref, options);
    const details = await opened.details(wants);
    const byStart = new Map(details.map((each) => [each.startLsn, each]));
    return opened.segments.map((summary) => ({ summary, index: byStart.get(summary.startLsn) }));
  } catch (error) {
    if (onDamage === undefined || !hasCode(error, 'CORRUPT')) throw error;
    return (await onDamage(error, ref)) ? readReplaced(index, ref, options) : [];
  }
}

/** What went away while it was asked for has been put together with others, or made anew in one object or several. */
async function readReplaced(
  index: EpochArchive['index'],
  gone: WalIndexRef,
  options: ReadIndexOptions,
): Promise<readonly ReadSegmentIndex[]> {
  const refs = coveringRefs(await index.list(options), gone.timeline);
  const isOf = ({ startLsn }: SegmentSummary): boolean => startLsn >= gone.startLsn && startLsn < gone.endLsn;
  const found: ReadSegmentIndex[] = [];
  for (const ref of refs.filter(({ startLsn, endLsn }) => startLsn < gone.endLsn && gone.startLsn < endLsn)) {
    const opened = await index.open(ref, options);
    if (opened === undefined) continue;
    const details = await opened.details((summary) => isOf(summary) && (options.wants?.(summary) ?? true));
    const byStart = new Map(details.map((each) => [each.startLsn, each]));
    for (const summary of opened.segments.filter(isOf)) found.push({ summary, index: byStart.get(summary.startLsn) });
  }
  return found;
}
