/** Cuts a source into parts that are held in memory, each with its checksums. @packageDocumentation */
import { createHash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import type { ByteStream } from '@keyframe/contracts';

/** Bytes of one part. They are our own: a producer may use its buffers again. */
export interface Part {
  readonly slabs: readonly Buffer[];
  readonly sizeBytes: number;
  readonly crc32: number;
  /** Hex; empty where none is wanted. */
  readonly sha256: string;
  /** The source came to its end. */
  readonly last: boolean;
}

const SLAB = 1024 * 1024;
/** Slabs kept for the next object. */
const KEPT = 48;

/** Memory of parts that were sent, for those to come: what is thrown away is not free again before a collection. */
export class Slabs {
  readonly #free: Buffer[] = [];

  take(): Buffer {
    return this.#free.pop() ?? Buffer.allocUnsafeSlow(SLAB);
  }

  /** Only of a part that the server has answered for: of any other the system may still be sending. */
  give({ slabs }: Part): void {
    for (const { buffer } of slabs)
      if (buffer.byteLength === SLAB && this.#free.length < KEPT) this.#free.push(Buffer.from(buffer));
  }
}

/** Reads one source, part after part. */
export class PartReader {
  readonly #source: AsyncIterator<Uint8Array>;
  readonly #slabs: Slabs;
  readonly #hashed: boolean;
  #rest: Uint8Array | undefined;
  /** Of all bytes so far. */
  #crc32 = 0;

  constructor(source: ByteStream, slabs: Slabs, hashed: boolean) {
    this.#source = source[Symbol.asyncIterator]();
    this.#slabs = slabs;
    this.#hashed = hashed;
  }

  /** Of everything that was read. */
  get crc32(): number {
    return this.#crc32;
  }

  /** The next part; whether another follows is known by then. */
  async next(limitBytes: number): Promise<Part> {
    const filled: Buffer[] = [];
    let slab: Buffer | undefined;
    let used = 0;
    let sizeBytes = 0;
    let sum = 0;
    const hash = this.#hashed ? createHash('sha256') : undefined;
    while (sizeBytes < limitBytes) {
      const chunk = await this.#peek();
      if (chunk === undefined) break;
      if (slab !== undefined && used === slab.length) {
        filled.push(slab);
        slab = undefined;
      }
      if (slab === undefined) [slab, used] = [this.#slabs.take(), 0];
      const bytes = chunk.subarray(0, Math.min(slab.length - used, limitBytes - sizeBytes));
      slab.set(bytes, used);
      sum = crc32(bytes, sum);
      this.#crc32 = crc32(bytes, this.#crc32);
      hash?.update(bytes);
      used += bytes.length;
      sizeBytes += bytes.length;
      this.#rest = chunk.subarray(bytes.length);
    }
    if (slab !== undefined) filled.push(slab.subarray(0, used));
    const last = (await this.#peek()) === undefined;
    return { slabs: filled, sizeBytes, crc32: sum, sha256: hash?.digest('hex') ?? '', last };
  }

  /** Releases the producer. */
  async close(): Promise<void> {
    await this.#source.return?.();
  }

  async #peek(): Promise<Uint8Array | undefined> {
    while (this.#rest === undefined || this.#rest.length === 0) {
      const next = await this.#source.next();
      if (next.done === true) return undefined;
      this.#rest = next.value;
    }
    return this.#rest;
  }
}

/** A CRC32 as S3 writes it. */
export function base64Of(sum: number): string {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(sum >>> 0);
  return bytes.toString('base64');
}
