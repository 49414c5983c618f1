import type { ByteStream } from '@keyframe/contracts';
import { damaged } from './damage.ts';

/** Reads a stream in pieces of chosen sizes. Bytes are copied only where a piece spans chunks. */
export class ByteCursor {
  readonly #chunks: AsyncIterator<Uint8Array>;
  readonly #key: string;
  #chunk: Uint8Array = new Uint8Array(0);

  constructor(stream: ByteStream, key: string) {
    this.#chunks = stream[Symbol.asyncIterator]();
    this.#key = key;
  }

  /** Exactly `count` bytes. @throws {KeyframeError} CORRUPT when the object ends before */
  async read(count: number): Promise<Buffer> {
    const bytes = await this.upTo(count);
    if (bytes.length < count) throw damaged(this.#key, `it ends ${count - bytes.length} bytes early`);
    return bytes;
  }

  /** The next `count` bytes, or fewer when the stream ends before. */
  async upTo(count: number): Promise<Buffer> {
    if (this.#chunk.length >= count) return this.#cut(count);
    const bytes = Buffer.allocUnsafe(count);
    let at = 0;
    while (at < count && (this.#chunk.length > 0 || (await this.#next()))) {
      const piece = this.#cut(Math.min(count - at, this.#chunk.length));
      bytes.set(piece, at);
      at += piece.length;
    }
    return bytes.subarray(0, at);
  }

  /** All that is left. @throws {KeyframeError} CORRUPT when that is more than `limit` bytes */
  async rest(limit: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    let size = 0;
    do {
      size += this.#chunk.length;
      if (size > limit) throw damaged(this.#key, 'there are bytes after its end');
      pieces.push(this.#cut(this.#chunk.length));
    } while (await this.#next());
    return Buffer.concat(pieces);
  }

  /** Releases the producer. */
  async close(): Promise<void> {
    await this.#chunks.return?.();
  }

  #cut(count: number): Buffer {
    const piece = Buffer.from(this.#chunk.buffer, this.#chunk.byteOffset, count);
    this.#chunk = this.#chunk.subarray(count);
    return piece;
  }

  async #next(): Promise<boolean> {
    for (;;) {
      const next = await this.#chunks.next();
      if (next.done === true) return false;
      this.#chunk = next.value;
      if (this.#chunk.length > 0) return true;
    }
  }
}
