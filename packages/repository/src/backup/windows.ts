import type { ExtentRecord, ExtentsChunk, FrameRecord } from '../format/extents.ts';

/** Unused bytes between two frames that are read through rather than asked for separately, and their share of a read. */
const GAP = { bytes: 128 << 10, share: 1 / 16 } as const;

/** Frames of one pack that one range read brings. */
export interface Window {
  readonly pack: number;
  readonly start: number;
  readonly end: number;
  readonly frames: readonly FrameRecord[];
}

/** A piece of a restore: a range read with what comes of it, or ranges without stored bytes. */
export type RestoreTask = { readonly window: Window } | { readonly zeros: readonly ExtentRecord[] };

/** Frames and ranges of them that are planned together. */
const BATCH = 32_768;

/**
 * Plans range reads, in the order of the packs, for as many chunks at once as memory allows: what a later backup needs of a
 * pack stands in many places of its manifest. Frames without a wanted extent are left out.
 */
export async function* planWindows(
  chunks: AsyncIterable<ExtentsChunk>,
  isWanted: (extent: ExtentRecord) => boolean,
  windowBytes: number,
): AsyncGenerator<RestoreTask> {
  let frames: FrameRecord[] = [];
  let count = 0;
  for await (const { frames: inChunk, zeros } of chunks) {
    const wantedZeros = zeros.filter(isWanted);
    if (wantedZeros.length > 0) yield { zeros: wantedZeros };
    for (const frame of inChunk) {
      if (!frame.extents.some(isWanted)) continue;
      frames.push(frame);
      count += 1 + frame.extents.length;
    }
    if (count < BATCH) continue;
    for (const window of windowsOf(joined(frames), windowBytes)) yield { window };
    frames = [];
    count = 0;
  }
  for (const window of windowsOf(joined(frames), windowBytes)) yield { window };
}

/** Frames in the order of their packs; one that is named twice, for files of one bundle, becomes one. */
function joined(frames: readonly FrameRecord[]): FrameRecord[] {
  const result: FrameRecord[] = [];
  for (const frame of frames.toSorted((one, other) => one.pack - other.pack || one.offset - other.offset)) {
    const last = result.at(-1);
    if (last !== undefined && isSame(last, frame))
      result[result.length - 1] = { ...last, extents: [...last.extents, ...frame.extents] };
    else result.push(frame);
  }
  return result;
}

function isSame(one: FrameRecord, other: FrameRecord): boolean {
  return (
    one.pack === other.pack &&
    one.number === other.number &&
    one.offset === other.offset &&
    one.storedBytes === other.storedBytes &&
    one.plainBytes === other.plainBytes &&
    Buffer.compare(one.sha256, other.sha256) === 0
  );
}

/** Groups sorted frames into reads of at most `windowBytes`, a larger frame aside. */
function* windowsOf(frames: readonly FrameRecord[], windowBytes: number): Generator<Window> {
  let window: (Omit<Window, 'end' | 'frames'> & { end: number; frames: FrameRecord[] }) | undefined;
  let unused = 0;
  for (const frame of frames) {
    const end = frame.offset + frame.storedBytes;
    const joins =
      window !== undefined &&
      window.pack === frame.pack &&
      frame.offset >= window.end &&
      frame.offset - window.end <= GAP.bytes &&
      unused + frame.offset - window.end <= (end - window.start) * GAP.share &&
      end - window.start <= windowBytes;
    if (window !== undefined && joins) {
      unused += frame.offset - window.end;
      window.end = end;
      window.frames.push(frame);
      continue;
    }
    if (window !== undefined) yield window;
    unused = 0;
    window = { pack: frame.pack, start: frame.offset, end, frames: [frame] };
  }
  if (window !== undefined) yield window;
}
