/** Walks archived segments record by record, across the boundaries of segments. @packageDocumentation */
import {
  type Abortable,
  formatLsn,
  hasCode,
  type KeyframeError,
  lsn,
  segmentName,
  type TimelineId,
} from '@keyframe/contracts';
import { timelineAt, type TimelineHistory } from '@keyframe/postgres';
import { type ListedObject, parseWalPart } from '@keyframe/repository';
import { createWalScanner, type WalScanner } from '@keyframe/wal';
import { begun, inPieces } from '../archive/scan-segment.ts';
import type { EpochSurvey } from './survey.ts';
import { whatIn } from './survey.ts';

/** Segments of one timeline that follow each other, by running number. */
export interface WalRun {
  readonly timeline: TimelineId;
  readonly first: bigint;
  readonly last: bigint;
}

/** What came of one segment. */
export interface WalkedSegment {
  readonly name: string;
  readonly sizeBytes: number;
  /** What is wrong with it. */
  readonly fault: string | undefined;
  /** It is encrypted and this host has no key: only its hashes can be checked. */
  readonly isClosed: boolean;
}

/** A part of a segment that is gone since it was listed: whoever stored the whole segment has removed it. */
export function isMoved({ name }: ListedObject, { cause }: KeyframeError): boolean {
  return parseWalPart(name) !== undefined && hasCode(cause, 'NOT_FOUND');
}

/**
 * Groups segments that are to be read into runs, and lets each begin one segment earlier where that is there: a record that
 * crosses the boundary is then read whole.
 */
export function runsOf(
  { inventory }: Pick<EpochSurvey, 'inventory'>,
  wanted: (name: string) => boolean,
): readonly WalRun[] {
  const runs: WalRun[] = [];
  const { segmentSizeBytes } = inventory;
  for (const timeline of inventory.timelines)
    for (const range of inventory.ranges(timeline)) {
      let first: bigint | undefined;
      for (let number = range.first; number <= range.last + 1n; number += 1n) {
        const isWanted = number <= range.last && wanted(segmentName(timeline, number, segmentSizeBytes));
        if (isWanted) first ??= number > range.first ? number - 1n : number;
        else if (first !== undefined) {
          runs.push({ timeline, first, last: number - 1n });
          first = undefined;
        }
      }
    }
  return runs;
}

/** Reads a run. A fault ends the walk of its segment; the next one is walked from its own first record. */
export async function* walkRun(
  epoch: Pick<EpochSurvey, 'archive' | 'inventory' | 'histories'>,
  run: WalRun,
  { signal }: Abortable,
): AsyncGenerator<WalkedSegment> {
  const { segmentSizeBytes } = epoch.inventory;
  const history = epoch.histories.get(run.timeline);
  let scanner: WalScanner | undefined;
  let next = openAhead(epoch, run, run.first, signal);
  try {
    for (let number = run.first; number <= run.last; number += 1n) {
      signal?.throwIfAborted();
      const opened = next;
      next = openAhead(epoch, run, number + 1n, signal);
      scanner ??= newScanner(segmentSizeBytes, history);
      const found = await walkSegment(opened, scanner, number * BigInt(segmentSizeBytes), segmentSizeBytes);
      const isClosed = found === CLOSED;
      const fault = isClosed ? undefined : (found ?? foreign(epoch, scanner));
      // A page of another timeline cannot be judged without the history file, which is a finding by itself.
      if (found !== undefined || fault !== undefined || history === undefined) scanner = undefined;
      yield { name: segmentName(run.timeline, number, segmentSizeBytes), sizeBytes: segmentSizeBytes, fault, isClosed };
    }
  } finally {
    const left = await next.catch(() => undefined);
    await left?.content[Symbol.asyncDispose]();
  }
}

/** WAL that another cluster wrote, whole as it may be, is none of this one's. */
function foreign({ archive }: Pick<EpochSurvey, 'archive'>, { header }: WalScanner): string | undefined {
  const { systemIdentifier } = archive.epoch;
  if (header === undefined || header.systemIdentifier === systemIdentifier) return undefined;
  return `its WAL is of the cluster with the system identifier ${header.systemIdentifier}, not ${systemIdentifier}`;
}

function newScanner(segmentSizeBytes: number, history: TimelineHistory | undefined): WalScanner {
  return createWalScanner({
    segmentSizeBytes,
    timelineOf: history === undefined ? undefined : (position) => timelineAt(history, position),
  });
}

type Opened = Promise<{ readonly content: ReturnType<typeof begun>; readonly sizeBytes: number } | undefined>;

function openAhead(
  { archive, inventory }: Pick<EpochSurvey, 'archive' | 'inventory'>,
  { timeline, last }: WalRun,
  number: bigint,
  signal: AbortSignal | undefined,
): Opened {
  if (number > last) return Promise.resolve(undefined);
  const opened = archive.wal
    .get(segmentName(timeline, number, inventory.segmentSizeBytes), { signal })
    .then((found) => found && { content: begun(found.content), sizeBytes: found.header.sizeBytes });
  // Awaited in its turn; until then its rejection is not unhandled.
  opened.catch(() => undefined);
  return opened;
}

/** Instead of a fault: there is no key for it here. */
const CLOSED = Symbol('closed');

async function walkSegment(
  opened: Opened,
  scanner: WalScanner,
  start: bigint,
  segmentSizeBytes: number,
): Promise<string | typeof CLOSED | undefined> {
  try {
    const found = await opened;
    if (found === undefined) return 'it is missing';
    await using content = found.content;
    if (found.sizeBytes !== segmentSizeBytes)
      return `it holds ${found.sizeBytes} bytes, and the segments of its cluster ${segmentSizeBytes}`;
    let at = 0;
    for await (const piece of inPieces(content)) {
      scanner.scan(piece, lsn(start + BigInt(at)), { more: at + piece.length < segmentSizeBytes });
      at += piece.length;
    }
  } catch (error) {
    if (hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT', 'WAL_INVALID')) return whatIn(error);
    if (hasCode(error, 'KEY_REQUIRED', 'KEY_WRONG')) return CLOSED;
    throw error;
  }
  const { ended } = scanner;
  return ended === undefined ? undefined : `its WAL ends at ${formatLsn(ended.at)}: ${ended.message}`;
}
