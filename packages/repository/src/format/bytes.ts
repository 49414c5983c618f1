import { damaged } from '../objects/damage.ts';

/** Grows as it is written to. Integers are little-endian, `varint` is LEB128. */
export class ByteWriter {
  #buffer: Buffer;
  #used = 0;

  constructor(capacity = 4096) {
    this.#buffer = Buffer.allocUnsafe(capacity);
  }

  get length(): number {
    return this.#used;
  }

  /** What was written; a view that the next write may make stale. */
  view(): Buffer {
    return this.#buffer.subarray(0, this.#used);
  }

  /** A copy of what was written; the writer is empty afterwards and keeps its memory. */
  take(): Buffer {
    const taken = Buffer.from(this.view());
    this.#used = 0;
    return taken;
  }

  u32(value: number): void {
    this.#reserve(4);
    this.#used = this.#buffer.writeUInt32LE(value, this.#used);
  }

  u64(value: number): void {
    this.#reserve(8);
    this.#used = this.#buffer.writeBigUInt64LE(BigInt(value), this.#used);
  }

  /** An unsigned integer up to 2^53 - 1. */
  varint(value: number): void {
    this.#reserve(8);
    let rest = value;
    // Bit operators work on 32 bits only, so larger values go by division.
    while (rest > 0x7f_ff_ff_ff) {
      this.#buffer[this.#used++] = (rest % 128) | 0x80;
      rest = Math.floor(rest / 128);
    }
    while (rest > 0x7f) {
      this.#buffer[this.#used++] = (rest & 0x7f) | 0x80;
      rest >>>= 7;
    }
    this.#buffer[this.#used++] = rest;
  }

  /** A signed integer, zigzag: 0, -1, 1, -2 … become 0, 1, 2, 3 … */
  signed(value: number): void {
    this.varint(value < 0 ? -value * 2 - 1 : value * 2);
  }

  bytes(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#buffer.set(value, this.#used);
    this.#used += value.length;
  }

  /** A length as varint, then the bytes. */
  counted(value: Uint8Array): void {
    this.varint(value.length);
    this.bytes(value);
  }

  #reserve(count: number): void {
    if (this.#used + count <= this.#buffer.length) return;
    const larger = Buffer.allocUnsafe(Math.max(this.#buffer.length * 2, this.#used + count));
    this.#buffer.copy(larger, 0, 0, this.#used);
    this.#buffer = larger;
  }
}

/** Reads what {@link ByteWriter} wrote. A field that would lie outside its bytes is CORRUPT, naming the object. */
export class ByteReader {
  readonly #bytes: Buffer;
  readonly #key: string;
  #at = 0;

  constructor(bytes: Uint8Array, key: string) {
    this.#bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#key = key;
  }

  get left(): number {
    return this.#bytes.length - this.#at;
  }

  u32(): number {
    return this.#bytes.readUInt32LE(this.#advance(4));
  }

  u64(): number {
    return this.#safe(Number(this.#bytes.readBigUInt64LE(this.#advance(8))));
  }

  varint(): number {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 49; scale *= 128) {
      const byte = this.#bytes[this.#advance(1)] ?? 0;
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return this.#safe(value);
    }
    throw damaged(this.#key, 'a number does not end');
  }

  signed(): number {
    const value = this.varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }

  /** A view of the next bytes. */
  bytes(count: number): Buffer {
    const start = this.#advance(count);
    return this.#bytes.subarray(start, start + count);
  }

  counted(): Buffer {
    return this.bytes(this.varint());
  }

  #advance(count: number): number {
    const start = this.#at;
    if (count > this.left) throw damaged(this.#key, `it ends ${count - this.left} bytes early`);
    this.#at += count;
    return start;
  }

  #safe(value: number): number {
    if (!Number.isSafeInteger(value)) throw damaged(this.#key, 'a number is too large');
    return value;
  }
}
