/** Reading a WAL file on its way into the archive: in pieces, each of which becomes a frame. @packageDocumentation */
import type { ByteStream } from '@keyframe/contracts';
import type { WalFile, WalReader } from './wal-archive.ts';

/** Memory for a part of a file. */
export interface Piece {
  readonly bytes: Uint8Array;
  /** Says that nobody looks at it any more: then it may be overwritten. Must be called once. */
  readonly release: () => void;
}

/**
 * Buffers of one size that are used again and again: made anew for each piece, 16 MiB a segment, they cost more in page faults
 * and garbage collection than the reading itself. Who comes when all are in use waits.
 */
export class Room {
  readonly #pieceBytes: number;
  readonly #idle: Buffer[] = [];
  readonly #waiting: ((buffer: Buffer) => void)[] = [];
  #left: number;

  constructor(pieceBytes: number, pieces: number) {
    this.#pieceBytes = pieceBytes;
    this.#left = pieces;
  }

  async take(): Promise<Buffer> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    if (this.#left === 0) return new Promise((resolve) => this.#waiting.push(resolve));
    this.#left -= 1;
    return Buffer.allocUnsafeSlow(this.#pieceBytes);
  }

  give(buffer: Buffer): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#idle.push(buffer);
    else next(buffer);
  }
}

/** A file in pieces of one size, the last aside. Reads no further than one piece past the size that was announced. */
export async function* piecesOf(
  { content, reader }: Pick<WalFile, 'content' | 'reader'>,
  pieceBytes: number,
  room: Room,
): AsyncGenerator<Piece> {
  if (reader === undefined) {
    for await (const bytes of cut(content.open(), pieceBytes)) yield { bytes, release: () => undefined };
    return;
  }
  const wanted = content.sizeBytes ?? Infinity;
  await using file = await reader();
  for (let at = 0; at <= wanted;) {
    const buffer = await room.take();
    const release = (): void => room.give(buffer);
    const filled = await fill(file, buffer, at).catch((error: unknown) => {
      release();
      throw error;
    });
    at += filled;
    if (filled === 0) release();
    else yield { bytes: buffer.subarray(0, filled), release };
    if (filled < pieceBytes) return;
  }
}

async function fill(file: WalReader, buffer: Buffer, position: number): Promise<number> {
  let filled = 0;
  while (filled < buffer.length) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, position + filled);
    if (bytesRead === 0) break;
    filled += bytesRead;
  }
  return filled;
}

/** The chunks of a stream stay as they are, so a piece that lies in one of them is a view. */
async function* cut(content: ByteStream, pieceBytes: number): AsyncGenerator<Uint8Array> {
  let piece: Buffer | undefined;
  let used = 0;
  for await (const chunk of content)
    for (let at = 0; at < chunk.length;) {
      if (piece === undefined && chunk.length - at >= pieceBytes) {
        yield chunk.subarray(at, at + pieceBytes);
        at += pieceBytes;
        continue;
      }
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
