/**
 * zstd contexts that are kept from frame to frame.
 *
 * The one-shot calls of node:zlib make a stream, a context and an output buffer for each frame, feed the frame without
 * saying that it is all there is, and end it by a second trip to the thread pool. A stream that flushes with `ZSTD_e_end`
 * makes one frame of each write instead, in one trip and without a copy inside zstd: a third less CPU at level 1.
 * @packageDocumentation
 */
import type { Transform } from 'node:stream';

/** Output buffers are at least this long, since several frames share one; memory made for each would busy the collector. */
const CHUNK_BYTES = 1 << 20;
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

/** As many contexts as are used at once, each for one frame at a time. */
export class CoderPool {
  readonly #make: (chunkBytes: number) => Transform;
  #idle: Coder[] = [];
  #closed = false;

  /** `make` gives a stream that makes one frame, or the content of one, of each write. */
  constructor(make: (chunkBytes: number) => Transform) {
    this.#make = make;
  }

  /** Codes one frame. `roomBytes` is how much output it takes to be quick, `limitBytes` the most that is legal. */
  async run(input: Uint8Array, roomBytes: number, limitBytes: number): Promise<Buffer> {
    const coder = this.#get(roomBytes);
    try {
      const output = await coder.run(input, limitBytes);
      if (this.#closed || this.#idle.length >= KEPT) coder.close();
      else this.#idle.push(coder);
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
    const idle = this.#idle.pop();
    if (idle !== undefined && idle.chunkBytes >= roomBytes) return idle;
    idle?.close();
    const chunkBytes = Math.max(CHUNK_BYTES, roomBytes);
    return new Coder(this.#make(chunkBytes), chunkBytes);
  }
}
