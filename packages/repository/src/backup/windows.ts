import type { ExtentRecord, ExtentsChunk, FrameRecord } from '../format/extents.ts';

/** Unused bytes between two frames that are read through rather than asked for separately. */
const GAP_BYTES = 128 << 10;

/** Frames of one pack that one range read brings. */
export interface Window {
  readonly pack: number;
  readonly start: number;
  readonly end: number;
  readonly frames: readonly FrameRecord[];
}

/** A piece of a restore: a range read with what comes of it, or ranges without stored bytes. */
export type RestoreTask = { readonly window: Window } | { readonly zeros: readonly ExtentRecord[] };

/** Plans range reads chunk by chunk, in the order of the packs. Frames without a wanted extent are left out. */
export async function* planWindows(
  chunks: AsyncIterable<ExtentsChunk>,
  isWanted: (extent: ExtentRecord) => boolean,
  windowBytes: number,
): AsyncGenerator<RestoreTask> {
  for await (const { frames, zeros } of chunks) {
    const wanted = frames
      .filter((frame) => frame.extents.some(isWanted))
      .toSorted((one, other) => one.pack - other.pack || one.offset - other.offset);
    for (const window of windowsOf(wanted, windowBytes)) yield { window };
    const wantedZeros = zeros.filter(isWanted);
    if (wantedZeros.length > 0) yield { zeros: wantedZeros };
  }
}

/** Groups sorted frames into reads of at most `windowBytes`, a larger frame aside. */
function* windowsOf(frames: readonly FrameRecord[], windowBytes: number): Generator<Window> {
  let window: (Omit<Window, 'end' | 'frames'> & { end: number; frames: FrameRecord[] }) | undefined;
  for (const frame of frames) {
    const end = frame.offset + frame.storedBytes;
    const joins =
      window !== undefined &&
      window.pack === frame.pack &&
      frame.offset >= window.end &&
      frame.offset - window.end <= GAP_BYTES &&
      end - window.start <= windowBytes;
    if (window !== undefined && joins) {
      window.end = end;
      window.frames.push(frame);
      continue;
    }
    if (window !== undefined) yield window;
    window = { pack: frame.pack, start: frame.offset, end, frames: [frame] };
  }
  if (window !== undefined) yield window;
}
