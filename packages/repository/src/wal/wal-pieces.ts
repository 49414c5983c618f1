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
  const kept =
    content.sizeBytes !== undefined && content.sizeBytes <= KEPT_BYTES
      ? Buffer.allocUnsafe(content.sizeBytes)
      : undefined;
  let sizeBytes = 0;
  for await (const chunk of content.open()) {
    signal?.throwIfAborted();
    hash.update(chunk);
    kept?.set(chunk.subarray(0, Math.max(0, kept.length - sizeBytes)), Math.min(sizeBytes, kept.length));
    sizeBytes += chunk.length;
  }
  return {
    sizeBytes,
    sha256: hash.digest('hex'),
    isKept: kept !== undefined,
    pieces: (pieceBytes) => (kept === undefined ? copiesOf(content.open(), pieceBytes) : slicesOf(kept, pieceBytes)),
  };
}

async function* slicesOf(content: Buffer, pieceBytes: number): AsyncGenerator<Buffer> {
  for (let at = 0; at < content.length; at += pieceBytes) yield content.subarray(at, at + pieceBytes);
}

/** Several pieces are compressed at once, so each has memory of its own. */
async function* copiesOf(content: ByteStream, pieceBytes: number): AsyncGenerator<Buffer> {
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
