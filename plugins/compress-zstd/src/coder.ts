/**
 * zstd contexts that are kept from frame to frame.
 *
 * The one-shot calls of node:zlib make a stream, a context and an output buffer for each frame, feed the frame without
 * saying that it is all there is, and end it by a second trip to the thread pool. A stream that flushes with `ZSTD_e_end`
 * makes one frame of each write instead, in one trip and without a copy inside zstd: a third less CPU at level 1.
 * @packageDocumentation
 */
import type { Transform } from 'node:stream';

/** zlib takes no smaller output buffers. */
const LEAST_CHUNK_BYTES = 64;
/** A shared buffer has room for at least so many outputs of full size. */
const SHARED = 4;
/** Contexts kept while nobody uses them: as many as run at once with twice the usual thread pool. */
const KEPT = 8;

interface Job {
  readonly limitBytes: number;
  readonly resolve: (output: Buffer) => void;
  readonly reject: (error: Error) => void;
}

/** One context. Takes one frame at a time. */
class Coder {
  readonly chunkBytes: number;
  readonly #stream: Transform;
  #job: Job | undefined;
  #pieces: Buffer[] = [];
  #sizeBytes = 0;

  constructor(stream: Transform, chunkBytes: number) {
    this.chunkBytes = chunkBytes;
    this.#stream = stream;
    stream.on('data', (piece: Buffer) => {
      this.#sizeBytes += piece.length;
      this.#pieces.push(piece);
      // A frame may hold far more than it should.
      if (this.#sizeBytes > (this.#job?.limitBytes ?? 0)) this.#fail(new RangeError('more came than was expected'));
    });
    stream.on('error', (error) => this.#fail(error));
  }

  /** Rejects when the context failed or gave more than `limitBytes`: then it is of no further use. */
  run(input: Uint8Array, limitBytes: number): Promise<Buffer> {
    return new Promise((resolve, reject) => {
      this.#job = { limitBytes, resolve, reject };
      // Called back once every piece of the output has been given out; without an error even when that was stopped midway.
      this.#stream.write(input, (error) => {
        if (error === null || error === undefined) this.#finish();
        else this.#fail(error);
      });
    });
  }

  close(): void {
    this.#stream.destroy();
  }

  #fail(error: Error): void {
    const job = this.#job;
    this.#job = undefined;
    this.#pieces = [];
    this.#stream.destroy();
    job?.reject(error);
  }

  #finish(): void {
    const job = this.#job;
    this.#job = undefined;
    job?.resolve(this.#take());
  }

  #take(): Buffer {
    const [first = Buffer.alloc(0), ...rest] = this.#pieces;
    const output = rest.length === 0 ? first : Buffer.concat(this.#pieces, this.#sizeBytes);
    this.#pieces = [];
    this.#sizeBytes = 0;
    return output;
  }
}

/** How outputs lie in memory. */
export interface PoolOptions {
  /** Gives a stream that makes one frame, or the content of one, of each write. */
  readonly make: (chunkBytes: number) => Transform;
  /**
   * Several outputs share a buffer of at least this size: right when they are much smaller than the room that they need
   * while they are made. Undefined: an output that fills its room has a buffer of its own, of exactly its size.
   */
  readonly sharedBytes?: number | undefined;
}

/** As many contexts as are used at once, each for one frame at a time. */
export class CoderPool {
  readonly #options: PoolOptions;
  readonly #idle: Coder[] = [];
  #closed = false;

  constructor(options: PoolOptions) {
    this.#options = options;
  }

  /** Codes one frame. `roomBytes` is how much output it takes to be quick, `limitBytes` the most that is legal. */
  async run(input: Uint8Array, roomBytes: number, limitBytes: number): Promise<Buffer> {
    const coder = this.#get(roomBytes);
    try {
      const output = await coder.run(input, limitBytes);
      this.#keep(coder, output.length);
      return output;
    } catch (error) {
      coder.close();
      throw error;
    }
  }

  close(): void {
    this.#closed = true;
    for (const coder of this.#idle.splice(0)) coder.close();
  }

  #get(roomBytes: number): Coder {
    const { make, sharedBytes } = this.#options;
    const fits = ({ chunkBytes }: Coder): boolean =>
      sharedBytes === undefined ? chunkBytes === roomBytes : chunkBytes >= roomBytes;
    const at = this.#idle.findLastIndex(fits);
    const [idle] = at < 0 ? [] : this.#idle.splice(at, 1);
    if (idle !== undefined) return idle;
    // What has less room than it may need goes through a buffer inside zstd: so not every second output should.
    const chunkBytes = Math.max(
      sharedBytes ?? LEAST_CHUNK_BYTES,
      sharedBytes === undefined ? roomBytes : SHARED * roomBytes,
    );
    return new Coder(make(chunkBytes), chunkBytes);
  }

  /** The next output begins where this one ended: in a buffer that is not shared it would come in two pieces. */
  #keep(coder: Coder, outputBytes: number): void {
    const reusable = this.#options.sharedBytes !== undefined || outputBytes === coder.chunkBytes;
    if (this.#closed || !reusable) {
      coder.close();
      return;
    }
    this.#idle.push(coder);
    if (this.#idle.length > KEPT) this.#idle.shift()?.close();
  }
}
