import { createHash } from 'node:crypto';
import type { ByteStream } from '@keyframe/contracts';
import type { WalFile } from './wal-archive.ts';

/** Content up to this size, a segment of the usual one, is held in memory while it is archived. */
const KEPT_BYTES = 16 << 20;

/** The content of a WAL file after its first reading. */
export interface KnownContent {
  readonly sizeBytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
  /** False: `pieces` reads it a second time, and what comes must be hashed again. */
  readonly isKept: boolean;
  /** Pieces of one size, the last aside. Each stays as it is. */
  pieces(pieceBytes: number): AsyncIterable<Uint8Array>;
}

/** Reads and hashes a file. What is small enough is kept, so that it is read and hashed only once. */
export async function readContent(file: WalFile, signal: AbortSignal | undefined): Promise<KnownContent> {
  const { content } = file;
  const hash = createHash('sha256');
  const wanted = content.sizeBytes !== undefined && content.sizeBytes <= KEPT_BYTES ? content.sizeBytes : undefined;
  let kept: Uint8Array | undefined;
  let sizeBytes = 0;
  for await (const chunk of content.open()) {
    signal?.throwIfAborted();
    hash.update(chunk);
    if (wanted !== undefined) kept = keep(kept, chunk, sizeBytes, wanted);
    sizeBytes += chunk.length;
  }
  // A file of another length than announced is read again, and then its hash decides.
  if (sizeBytes !== wanted) kept = undefined;
  else kept ??= new Uint8Array();
  const whole = kept;
  return {
    sizeBytes,
    sha256: hash.digest('hex'),
    isKept: whole !== undefined,
    pieces: (pieceBytes) => (whole === undefined ? copiesOf(content.open(), pieceBytes) : slicesOf(whole, pieceBytes)),
  };
}

/** A chunk that is the whole file is kept without a copy; what comes beyond the announced size is not kept. */
function keep(kept: Uint8Array | undefined, chunk: Uint8Array, offset: number, wanted: number): Uint8Array {
  if (offset === 0 && chunk.length === wanted) return chunk;
  const all = kept ?? Buffer.allocUnsafeSlow(wanted);
  if (offset < wanted) all.set(chunk.subarray(0, wanted - offset), offset);
  return all;
}

async function* slicesOf(content: Uint8Array, pieceBytes: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < content.length; at += pieceBytes) yield content.subarray(at, at + pieceBytes);
}

/** Several pieces are compressed at once, so each has memory of its own. */
async function* copiesOf(content: ByteStream, pieceBytes: number): AsyncGenerator<Uint8Array> {
  let piece: Buffer | undefined;
  let used = 0;
  for await (const chunk of content)
    for (let at = 0; at < chunk.length;) {
      piece ??= Buffer.allocUnsafeSlow(pieceBytes);
      const count = Math.min(chunk.length - at, pieceBytes - used);
      piece.set(chunk.subarray(at, at + count), used);
      at += count;
      used += count;
      if (used < pieceBytes) continue;
      yield piece;
      piece = undefined;
      used = 0;
    }
  if (piece !== undefined && used > 0) yield piece.subarray(0, used);
}
