/** Reads the index along a timeline's history. @packageDocumentation */
import { type Abortable, hasCode, type KeyframeError, type Lsn, type TimelineId } from '@keyframe/contracts';
import { segmentTimelines, type TimelineHistory } from '@keyframe/postgres';
import type { EpochArchive, OpenedWalIndex, SegmentSummary, WalIndexCache, WalIndexRef } from '@keyframe/repository';
import type { SegmentIndex } from '@keyframe/wal';
import { coveringRefs } from './coverage.ts';

/** Objects that are asked for ahead: of which little is read, and of which all is. */
const AHEAD = { summaries: 16, details: 4 } as const;

/** What is read. */
export interface ReadIndexOptions extends Abortable {
  readonly history: TimelineHistory;
  readonly segmentSizeBytes: number;
  /** Segments that hold WAL from here on, and before there. Default: all. */
  readonly from?: Lsn | undefined;
  readonly to?: Lsn | undefined;
  /** The objects there are. Default: they are listed. */
  readonly refs?: readonly WalIndexRef[] | undefined;
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

/** Segments of a history, of which one object tells. */
export interface IndexedPart {
  readonly ref: WalIndexRef;
  /** What lies before is told by another one. */
  readonly from: bigint;
}

/** An object that was opened, and which of its segments count. */
interface OpenedPart {
  readonly opened: OpenedWalIndex;
  readonly isOf: (summary: SegmentSummary) => boolean;
}

/** What objects say without their details. */
export interface PartOutline {
  readonly part: IndexedPart;
  readonly summaries: readonly SegmentSummary[];
  /** `undefined` unless one object alone tells of the part, and has an outline. */
  readonly outline: Uint8Array | undefined;
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
  for await (const [, told] of readParts(archive, await partsOf(archive, options), options)) yield* told;
}

/** Outlines and summaries of the same, object by object. */
export async function* readOutlines(
  archive: Pick<EpochArchive, 'index'>,
  options: ReadIndexOptions,
): AsyncGenerator<PartOutline> {
  const parts = await partsOf(archive, options);
  const open = (part: IndexedPart): Promise<readonly OpenedPart[]> => opening(archive.index, part, options, false);
  for await (const [part, opened] of inOrder(parts, open, AHEAD.summaries, options)) {
    const summaries = opened.flatMap((each) => each.opened.segments.filter(each.isOf));
    yield { part, summaries, outline: opened.length === 1 ? opened[0]?.opened.outline : undefined };
  }
}

/** What some of the objects say, each in its turn. */
export async function* readParts(
  archive: Pick<EpochArchive, 'index'>,
  parts: readonly IndexedPart[],
  options: ReadIndexOptions,
): AsyncGenerator<readonly [IndexedPart, AsyncIterable<ReadSegmentIndex>]> {
  const open = (part: IndexedPart): Promise<readonly OpenedPart[]> => opening(archive.index, part, options, true);
  for await (const [part, opened] of inOrder(parts, open, AHEAD.details, options))
    yield [part, telling(archive, part, opened, options)];
}

/** Objects that together tell of a history, in the order of WAL. */
async function partsOf(archive: Pick<EpochArchive, 'index'>, options: ReadIndexOptions): Promise<IndexedPart[]> {
  const { history, segmentSizeBytes, from, to } = options;
  const timelines = [...history.ancestors.map(({ timeline }) => timeline), history.timeline];
  const refs = options.refs ?? (await archive.index.list(options));
  const told = new Map<TimelineId, bigint>();
  return timelines
    .flatMap((timeline) => coveringRefs(refs, timeline))
    .filter((ref) => (from === undefined || ref.endLsn > from) && (to === undefined || ref.startLsn < to))
    .filter((ref) => isOnPath(history, ref, segmentSizeBytes))
    .toSorted((a, b) => Number(a.startLsn - b.startLsn) || a.timeline - b.timeline)
    .map((ref) => {
      const before = told.get(ref.timeline) ?? 0n;
      told.set(ref.timeline, ref.endLsn);
      return { ref, from: before };
    });
}

/** Of a dead branch nothing is wanted. */
function isOnPath(history: TimelineHistory, ref: WalIndexRef, segmentSizeBytes: number): boolean {
  const [owner = 0] = segmentTimelines(history, ref.startLsn / BigInt(segmentSizeBytes), segmentSizeBytes);
  const end: TimelineId[] = [
    ...segmentTimelines(history, ref.endLsn / BigInt(segmentSizeBytes) - 1n, segmentSizeBytes),
  ];
  return owner === ref.timeline || end.includes(ref.timeline) || (owner < ref.timeline && end.length > 0);
}

async function* inOrder<Item, Result>(
  items: readonly Item[],
  work: (item: Item) => Promise<Result>,
  ahead: number,
  { signal }: Abortable,
): AsyncGenerator<readonly [Item, Result]> {
  const coming: { readonly item: Item; readonly result: Promise<Result> }[] = [];
  for (let at = 0; at < items.length || coming.length > 0;) {
    signal?.throwIfAborted();
    for (let item = items[at]; item !== undefined && coming.length < ahead; item = items[at]) {
      at += 1;
      const result = work(item);
      // Awaited in its turn; until then its rejection is not unhandled.
      result.catch(() => undefined);
      coming.push({ item, result });
    }
    const first = coming.shift();
    if (first !== undefined) yield [first.item, await first.result];
  }
}

/** Which segments of a history a part tells of. */
function membership({ ref, from }: IndexedPart, options: ReadIndexOptions): OpenedPart['isOf'] {
  const { history, segmentSizeBytes } = options;
  const size = BigInt(segmentSizeBytes);
  return ({ timeline, startLsn, endLsn }) => {
    const isInside = startLsn >= from && startLsn >= ref.startLsn && endLsn <= ref.endLsn;
    const isWanted =
      (options.from === undefined || endLsn > options.from) && (options.to === undefined || startLsn < options.to);
    return isInside && isWanted && segmentTimelines(history, startLsn / size, segmentSizeBytes)[0] === timeline;
  };
}

/** Opens what tells of a part: one object, or those that took its place meanwhile. */
async function opening(
  index: EpochArchive['index'],
  part: IndexedPart,
  options: ReadIndexOptions,
  isForDetails: boolean,
): Promise<readonly OpenedPart[]> {
  const isOf = membership(part, options);
  const isWanted = (summary: SegmentSummary): boolean => isOf(summary) && options.wants?.(summary) !== false;
  const open = async (ref: WalIndexRef): Promise<OpenedPart | undefined> => {
    try {
      const opened = await index.open(ref, options);
      if (isForDetails && opened?.segments.some(isWanted) === true) await opened.load();
      return opened && { opened, isOf };
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND')) return undefined;
      throw error;
    }
  };
  try {
    const opened = await open(part.ref);
    if (opened !== undefined) return [opened];
  } catch (error) {
    if (!(await isMended(error, part.ref, options))) return [];
  }
  // It has been put together with others, or made anew in one object or several.
  const refs = coveringRefs(await index.list(options), part.ref.timeline);
  const others: OpenedPart[] = [];
  for (const ref of refs.filter(({ startLsn, endLsn }) => startLsn < part.ref.endLsn && part.ref.startLsn < endLsn)) {
    const opened = await open(ref);
    if (opened !== undefined) others.push(opened);
  }
  return others;
}

async function isMended(error: unknown, ref: WalIndexRef, { onDamage }: ReadIndexOptions): Promise<boolean> {
  if (onDamage === undefined || !hasCode(error, 'CORRUPT')) throw error;
  return onDamage(error, ref);
}

/** What was opened says. Where its details turn out to be damaged, what is made anew says the rest. */
async function* telling(
  archive: Pick<EpochArchive, 'index'>,
  part: IndexedPart,
  opened: readonly OpenedPart[],
  options: ReadIndexOptions,
): AsyncGenerator<ReadSegmentIndex> {
  const { wants = () => true } = options;
  let { from } = part;
  for (const each of opened)
    try {
      const isOf = (summary: SegmentSummary): boolean => summary.startLsn >= from && each.isOf(summary);
      const details = each.opened.details((summary) => isOf(summary) && wants(summary))[Symbol.asyncIterator]();
      for (const summary of each.opened.segments.filter(isOf)) {
        const index = wants(summary) ? await details.next() : undefined;
        from = summary.endLsn;
        yield { summary, index: index?.done === false ? index.value : undefined };
      }
    } catch (error) {
      if (!(await isMended(error, part.ref, options))) return;
      const rest = { ref: part.ref, from };
      const once = { ...options, onDamage: undefined };
      yield* telling(archive, rest, await opening(archive.index, rest, once, true), once);
      return;
    }
}
