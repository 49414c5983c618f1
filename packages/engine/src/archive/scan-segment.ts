/** Reading an archived segment without ever holding it: it may have a gibibyte. @packageDocumentation */
import { type ByteStream, KeyframeError, type Lsn, lsn } from '@keyframe/contracts';
import type { WalObjectHeader } from '@keyframe/repository';
import type { WalFact, WalScanner } from '@keyframe/wal';

/** A segment as the archive gives it. */
export interface FoundSegment {
  readonly header: WalObjectHeader;
  readonly content: ByteStream;
}

/** Where a segment lies in the WAL. */
export interface SegmentPlace {
  readonly start: Lsn;
  readonly segmentSizeBytes: number;
  /** Where the first record begins; see the scanner. */
  readonly from?: Lsn | undefined;
}

/** What the scanner is given at once: whole pages of any block size. */
const PIECE_BYTES = 1 << 20;

/**
 * What the records that end in a segment tell. It is read to its end whatever the scanner says: only then are its bytes
 * proven, and nothing is told of it before.
 * @throws {KeyframeError} WAL_INVALID for one of another size than its cluster's, CORRUPT
 */
export async function scanSegment(
  scanner: Pick<WalScanner, 'scan'>,
  { header, content }: FoundSegment,
  { start, segmentSizeBytes, from }: SegmentPlace,
): Promise<readonly WalFact[]> {
  if (header.sizeBytes !== segmentSizeBytes)
    throw new KeyframeError(
      'WAL_INVALID',
      `WAL segment ${header.name} has ${header.sizeBytes} bytes in the archive, its cluster's have ${segmentSizeBytes}`,
      { hint: 'Look with `keyframe wal status` which cluster archives here; plan from a backup of the same epoch.' },
    );
  const told: (readonly WalFact[])[] = [];
  let at = 0;
  for await (const piece of inPieces(content)) {
    const more = at + piece.length < segmentSizeBytes;
    told.push(scanner.scan(piece, lsn(start + BigInt(at)), { from, more }));
    at += piece.length;
  }
  return told.flat();
}

/** The same bytes in pieces of one size; copied only where a piece is made of several chunks. */
export async function* inPieces(content: ByteStream): ByteStream {
  let piece = Buffer.alloc(0);
  let filled = 0;
  for await (const chunk of content) {
    for (let at = 0; at < chunk.length;) {
      if (filled === 0 && chunk.length - at >= PIECE_BYTES) {
        yield chunk.subarray(at, at + PIECE_BYTES);
        at += PIECE_BYTES;
        continue;
      }
      if (filled === 0) piece = Buffer.allocUnsafeSlow(PIECE_BYTES);
      const part = chunk.subarray(at, at + PIECE_BYTES - filled);
      piece.set(part, filled);
      filled += part.length;
      at += part.length;
      if (filled < PIECE_BYTES) continue;
      yield piece;
      filled = 0;
    }
  }
  if (filled > 0) yield piece.subarray(0, filled);
}

/** A stream whose first chunk is on its way already; a fault is thrown where it is read. */
export function begun(content: ByteStream): ByteStream & AsyncDisposable {
  const chunks = content[Symbol.asyncIterator]();
  let first: Promise<IteratorResult<Uint8Array>> | undefined = chunks.next();
  first.catch(() => undefined);
  return {
    [Symbol.asyncIterator]: () => ({
      next: () => {
        const next = first ?? chunks.next();
        first = undefined;
        return next;
      },
      return: async () => (await chunks.return?.()) ?? { done: true, value: undefined },
    }),
    [Symbol.asyncDispose]: async () => void (await chunks.return?.()),
  };
}
