/**
 * Where streaming goes on: what the repository holds decides, nothing else. So a receiver that was killed, or whose host is
 * gone, goes on as if nothing had been, and acknowledges only what is there.
 * @packageDocumentation
 */
import { type Abortable, hasCode, type Lsn, lsn, segmentName, type TimelineId } from '@keyframe/contracts';
import { pathOf, timelineAt, type TimelineHistory } from '@keyframe/postgres';
import type { WalArchive, WalInventory } from '@keyframe/repository';

/** The first byte to ask for, which begins a segment, and how far from there the repository holds what will come. */
export interface StreamStart {
  readonly timeline: TimelineId;
  readonly start: Lsn;
  /** Not before `start`. */
  readonly durable: Lsn;
}

interface Walk {
  readonly wal: Pick<WalArchive, 'has' | 'streamedBytes'>;
  /** Of the server's timeline. */
  readonly history: TimelineHistory;
  readonly segmentSizeBytes: number;
}

/** Walks from `position` over what is archived, along the history, to the first segment that is not there whole. */
export async function findStart(
  { wal, history, segmentSizeBytes }: Walk,
  position: Lsn,
  options: Abortable,
): Promise<StreamStart> {
  const size = BigInt(segmentSizeBytes);
  let number = position / size;
  for (;;) {
    // The segment with a fork is the child's: its copy holds what the parent wrote of it.
    const timeline = timelineAt(history, lastOf(number, size));
    const name = segmentName(timeline, number, segmentSizeBytes);
    if (!(await wal.has(name, options))) {
      const start = lsn(number * size);
      const bytes = await wal.streamedBytes(name, options);
      const durable = lsn(start + BigInt(bytes));
      // Commits in the next segment may have been acknowledged already.
      const beyond =
        bytes === segmentSizeBytes ? await findStart({ wal, history, segmentSizeBytes }, durable, options) : undefined;
      return { timeline, start, durable: beyond?.timeline === timeline ? beyond.durable : durable };
    }
    number += 1n;
  }
}

const lastOf = (number: bigint, size: bigint): Lsn => lsn((number + 1n) * size - 1n);

/** Up to where the archive reaches along a history, whatever is missing before. `undefined` where it holds nothing of it. */
export function newestKnown(history: TimelineHistory, inventory: WalInventory): Lsn | undefined {
  const size = BigInt(inventory.segmentSizeBytes);
  let newest: bigint | undefined;
  for (const { timeline, end } of pathOf(history)) {
    const whole = inventory.ranges(timeline).at(-1);
    const parts = inventory.streamed.findLast((each) => each.timeline === timeline);
    const reached = [
      whole === undefined ? 0n : (whole.last + 1n) * size,
      parts === undefined ? 0n : parts.number * size + BigInt(parts.endBytes),
    ].reduce((one, other) => (one > other ? one : other));
    const counted = end !== undefined && end < reached ? end : reached;
    if (counted > 0n && (newest === undefined || counted > newest)) newest = counted;
  }
  return newest === undefined ? undefined : lsn(newest);
}

/** Timelines that the archive holds further than a history follows them: what was committed there is not on it. */
export function beyondForks(
  history: TimelineHistory,
  inventory: WalInventory,
): readonly { readonly timeline: TimelineId; readonly fork: Lsn; readonly reached: Lsn }[] {
  return history.ancestors.flatMap(({ timeline, end: fork }) => {
    const reached = newestKnown({ timeline, ancestors: [] }, inventory);
    return reached === undefined || reached <= fork ? [] : [{ timeline, fork, reached }];
  });
}

/** What of the WAL between two positions the archive does not hold. */
export function gapsBetween(
  history: TimelineHistory,
  inventory: WalInventory,
  from: Lsn,
  to: Lsn,
): readonly { readonly timeline: TimelineId; readonly from: Lsn; readonly to: Lsn }[] {
  const { segmentSizeBytes } = inventory;
  const size = BigInt(segmentSizeBytes);
  const gaps: { timeline: TimelineId; from: Lsn; to: Lsn }[] = [];
  for (let number = from / size; number * size < to; number += 1n) {
    const timeline = timelineAt(history, lastOf(number, size));
    if (inventory.has(segmentName(timeline, number, segmentSizeBytes))) continue;
    const start = lsn(number * size > from ? number * size : from);
    const end = lsn((number + 1n) * size);
    const last = gaps.at(-1);
    if (last?.to === start && last.timeline === timeline) last.to = end;
    else gaps.push({ timeline, from: start, to: end });
  }
  return gaps;
}

/** Makes whole segments of those that are there in parts alone; what cannot be read on this host stays as it is. */
export async function mendStreamed(
  wal: WalArchive,
  inventory: WalInventory,
  systemIdentifier: string,
  options: Abortable,
): Promise<readonly string[]> {
  const mended: string[] = [];
  const { segmentSizeBytes } = inventory;
  for (const { timeline, number, endBytes } of inventory.streamed.filter(
    (each) => each.endBytes === segmentSizeBytes,
  )) {
    const name = segmentName(timeline, number, segmentSizeBytes);
    const open = async function* (): AsyncGenerator<Uint8Array> {
      const found = await wal.getStreamed(name, endBytes, options);
      if (found !== undefined) yield* found.content;
    };
    const content = { sizeBytes: segmentSizeBytes, open };
    try {
      await wal.put({ name, content, facts: { systemIdentifier, timeline, segmentSizeBytes } }, options);
      mended.push(name);
    } catch (error) {
      if (!hasCode(error, 'KEY_REQUIRED', 'KEY_WRONG')) throw error;
    }
  }
  return mended;
}
