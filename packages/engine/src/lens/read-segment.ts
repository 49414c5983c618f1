/** Feeds archived segments to a lens. @packageDocumentation */
import { type Abortable, KeyframeError, type Lsn, lsn, segmentName, type TimelineId } from '@keyframe/contracts';
import type { EpochArchive } from '@keyframe/repository';
import type { SegmentIndex, WalLens } from '@keyframe/wal';
import { begun, inPieces } from '../archive/scan-segment.ts';

/** A segment that is on its way. */
export interface ComingSegment {
  readonly name: string;
  readonly timeline: TimelineId;
  readonly start: Lsn;
  readonly opened: Promise<{ readonly content: ReturnType<typeof begun>; readonly sizeBytes: number } | undefined>;
}

/** Asks for a segment; it is read once it is its turn. */
export function ask(
  archive: Pick<EpochArchive, 'wal'>,
  place: { readonly timeline: TimelineId; readonly number: bigint; readonly segmentSizeBytes: number },
  { signal }: Abortable,
): ComingSegment {
  const { timeline, number, segmentSizeBytes } = place;
  const name = segmentName(timeline, number, segmentSizeBytes);
  const opened = archive.wal
    .get(name, { signal })
    .then((found) => found && { content: begun(found.content), sizeBytes: found.header.sizeBytes });
  // Awaited in its turn; until then its rejection is not unhandled.
  opened.catch(() => undefined);
  return { name, timeline, start: lsn(number * BigInt(segmentSizeBytes)), opened };
}

/** Lets go of a segment that is not read after all. */
export async function dismiss(coming: ComingSegment | undefined): Promise<void> {
  const found = await coming?.opened.catch(() => undefined);
  await found?.content[Symbol.asyncDispose]();
}

/**
 * What a segment tells, once all of its bytes are proven.
 * @throws {KeyframeError} CORRUPT for a damaged object, one of another size, or one that is gone
 */
export async function readSegment(
  lens: Pick<WalLens, 'read'>,
  coming: ComingSegment,
  { segmentSizeBytes, from }: { readonly segmentSizeBytes: number; readonly from?: Lsn | undefined },
): Promise<SegmentIndex> {
  const { name, timeline, start } = coming;
  const found = await coming.opened;
  if (found?.sizeBytes !== segmentSizeBytes) {
    await found?.content[Symbol.asyncDispose]();
    const what = found === undefined ? 'is not there any more' : `holds ${found.sizeBytes} bytes`;
    throw new KeyframeError('CORRUPT', `the archived WAL segment ${name} ${what}`, {
      hint: 'Run `keyframe wal verify`, which tells what moments that costs.',
      details: { name },
    });
  }
  await using content = found.content;
  let index: SegmentIndex | undefined;
  let at = 0;
  for await (const piece of inPieces(content)) {
    const more = at + piece.length < segmentSizeBytes;
    index = lens.read(piece, { timeline, start: lsn(start + BigInt(at)), more, from });
    at += piece.length;
  }
  if (index === undefined) throw new KeyframeError('CORRUPT', `the archived WAL segment ${name} ends early`);
  return index;
}
