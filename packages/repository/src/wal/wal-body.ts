/** What the object of a WAL file is made of, once the file was read to its end. @packageDocumentation */
import { createHash, type Hash } from 'node:crypto';
import type { EpochContext } from '../epoch-context.ts';
import { compressPayload, type Payload } from '../format/container-layout.ts';
import { CODEC_NONE } from '../format/frame.ts';
import { damaged } from '../objects/damage.ts';
import type { WalFile } from './wal-archive.ts';
import { type Piece, piecesOf, Room } from './wal-pieces.ts';

/** A file up to this size, a segment of the usual one, is read once: what it compresses to is held in memory. */
const HELD_BYTES = 16 << 20;

/** How a file's content is recognised. */
export interface KnownContent {
  readonly sizeBytes: number;
  /** Hexadecimal. */
  readonly sha256: string;
}

/** A part of the content as it will be stored, not yet encrypted. */
export interface WalFrame {
  readonly payload: Payload;
  readonly plainBytes: number;
}

/** Content and how it is recognised. */
export interface WalBody extends KnownContent {
  /** Can be read more than once. Throws before its end when the content is not what was hashed. */
  frames(): AsyncIterable<WalFrame> | Iterable<WalFrame>;
}

type Content = Pick<WalFile, 'name' | 'content' | 'reader'>;

/** Reads, hashes and compresses files. The memory for that is kept from one to the next. */
export class WalBodies {
  readonly #context: EpochContext;
  readonly #room: Room;

  constructor(context: EpochContext) {
    this.#context = context;
    // Others are read while so many are compressed.
    this.#room = new Room(context.walFrameBytes, 2 * context.tuning.framesInFlight);
  }

  /** Hashes alone. */
  async known(file: Content, signal: AbortSignal | undefined): Promise<KnownContent> {
    const hash = createHash('sha256');
    let sizeBytes = 0;
    for await (const { bytes, release } of this.#pieces(file)) {
      hash.update(bytes);
      sizeBytes += bytes.length;
      release();
      signal?.throwIfAborted();
    }
    return { sizeBytes, sha256: hash.digest('hex') };
  }

  /** What is larger than is held is hashed first, and read again for its frames. */
  async read(file: Content, signal: AbortSignal | undefined): Promise<WalBody> {
    const { sizeBytes: announced } = file.content;
    if (announced === undefined || announced > HELD_BYTES) {
      const known = await this.known(file, signal);
      return { ...known, frames: () => this.#again(file, known) };
    }
    const hash = createHash('sha256');
    const frames: WalFrame[] = [];
    let sizeBytes = 0;
    for await (const frame of this.#compress(file, hash)) {
      signal?.throwIfAborted();
      sizeBytes += frame.plainBytes;
      frames.push(frame);
    }
    return { sizeBytes, sha256: hash.digest('hex'), frames: () => frames };
  }

  async *#again(file: Content, { sha256 }: KnownContent): AsyncGenerator<WalFrame> {
    const hash = createHash('sha256');
    yield* this.#compress(file, hash);
    if (hash.digest('hex') !== sha256) throw damaged(file.name, 'it changed while it was read');
  }

  /** Some pieces are compressed while the next is read and hashed. */
  async *#compress(file: Content, hash: Hash): AsyncGenerator<WalFrame> {
    const ahead: Promise<WalFrame>[] = [];
    for await (const piece of this.#pieces(file)) {
      hash.update(piece.bytes);
      const frame = this.#frame(piece);
      frame.catch(() => undefined); // reported where it is awaited
      ahead.push(frame);
      const oldest = ahead.length < this.#context.tuning.framesInFlight ? undefined : ahead.shift();
      if (oldest !== undefined) yield await oldest;
    }
    for (const frame of ahead) yield await frame;
  }

  async #frame({ bytes, release }: Piece): Promise<WalFrame> {
    const plainBytes = bytes.length;
    try {
      const payload = await compressPayload(this.#context.compressor, bytes);
      return {
        plainBytes,
        payload: payload.codec === CODEC_NONE ? { ...payload, bytes: Buffer.from(bytes) } : payload,
      };
    } finally {
      release();
    }
  }

  #pieces(file: Content): AsyncIterable<Piece> {
    return piecesOf(file, this.#context.walFrameBytes, this.#room);
  }
}
