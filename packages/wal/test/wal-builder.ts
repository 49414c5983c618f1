import { type Lsn, lsn } from '@keyframe/contracts';
import { crc32c, PAGE_MAGIC } from '../src/index.ts';

const BLOCK = 8192;

/** A record to write. `data` is what stands behind the fixed header, data headers included. */
export interface RecordInput {
  readonly resourceManager?: number;
  readonly info?: number;
  readonly xid?: number;
  readonly data?: Uint8Array;
}

export interface Written {
  readonly lsn: Lsn;
  readonly endLsn: Lsn;
}

/** Main data behind its own short or long header, as XLogInsert assembles it. */
export function mainData(data: Uint8Array): Uint8Array {
  const header = Buffer.alloc(data.length < 256 ? 2 : 5);
  if (data.length < 256) header.set([255, data.length]);
  else {
    header[0] = 254;
    header.writeUInt32LE(data.length, 1);
  }
  return Buffer.concat([header, data]);
}

/** Microseconds since 1970 as PostgreSQL stores them. */
export function timestamp(unixMicros: bigint): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigInt64LE(unixMicros - 946_684_800_000_000n);
  return bytes;
}

export const commitRecord = (xid: number, unixMicros: bigint): RecordInput => ({
  resourceManager: 1,
  info: 0,
  xid,
  data: mainData(timestamp(unixMicros)),
});

/** Writes WAL as PostgreSQL does, into memory: pages, links and checksums. */
export class WalBuilder {
  readonly segmentSizeBytes: number;
  readonly start: Lsn;
  timeline = 1;
  readonly #buffer: Buffer;
  #at = 0;
  #previous = 0n;

  constructor(options: { segmentSizeBytes?: number; start?: bigint; segments?: number } = {}) {
    this.segmentSizeBytes = options.segmentSizeBytes ?? 1 << 20;
    this.start = lsn(options.start ?? 0x1_00_00_00n);
    this.#buffer = Buffer.alloc(this.segmentSizeBytes * (options.segments ?? 2));
  }

  get position(): Lsn {
    return this.#lsn(this.#at);
  }

  /** Appends a record. */
  append(input: RecordInput): Written {
    if (this.#at % BLOCK === 0) this.#page(0, 0);
    const start = this.#at;
    const record = this.#encode(input);
    this.#previous = this.#lsn(start);
    this.#write(record, record.length);
    this.#at = (this.#at + 7) & ~7;
    if ((input.resourceManager ?? 10) === 0 && input.info === 0x40)
      this.#at = Math.ceil(this.#at / this.segmentSizeBytes) * this.segmentSizeBytes;
    return { lsn: this.#lsn(start), endLsn: this.position };
  }

  /** Begins a record that is not finished on its page; crash recovery then overwrites it. */
  abandon(input: RecordInput): { readonly abandoned: Lsn; readonly overwrite: Written } {
    if (this.#at % BLOCK === 0) this.#page(0, 0);
    const start = this.#at;
    const room = BLOCK - (start % BLOCK);
    this.#write(this.#encode(input), room);
    this.#page(8, 0);
    const data = Buffer.alloc(16);
    data.writeBigUInt64LE(this.#lsn(start));
    return {
      abandoned: this.#lsn(start),
      overwrite: this.append({ resourceManager: 0, info: 0xd0, data: mainData(data) }),
    };
  }

  /** Fills the page up to `left` free bytes with one record. */
  fillTo(left: number): void {
    const inPage = this.#at % BLOCK === 0 ? (this.#at % this.segmentSizeBytes === 0 ? 40 : 24) : this.#at % BLOCK;
    const size = BLOCK - inPage - left;
    this.append({ data: Buffer.alloc(size - 24, 7) });
  }

  /** Copies of the segments, whole. */
  segments(): { readonly start: Lsn; readonly bytes: Buffer }[] {
    const count = this.#buffer.length / this.segmentSizeBytes;
    return Array.from({ length: count }, (_, index) => {
      const at = index * this.segmentSizeBytes;
      return { start: this.#lsn(at), bytes: Buffer.from(this.#buffer.subarray(at, at + this.segmentSizeBytes)) };
    });
  }

  #lsn(offset: number): Lsn {
    return lsn(this.start + BigInt(offset));
  }

  #encode({ resourceManager = 10, info = 0, xid = 0, data = Buffer.alloc(0) }: RecordInput): Buffer {
    const header = Buffer.alloc(24);
    header.writeUInt32LE(24 + data.length, 0);
    header.writeUInt32LE(xid, 4);
    header.writeBigUInt64LE(this.#previous, 8);
    header[16] = info;
    header[17] = resourceManager;
    header.writeUInt32LE(crc32c(header.subarray(0, 20), crc32c(data)), 20);
    return Buffer.concat([header, data]);
  }

  /** Writes the first `length` bytes of a record, over as many pages as it takes. */
  #write(record: Buffer, length: number): void {
    for (let done = 0; done < length;) {
      if (this.#at % BLOCK === 0) this.#page(1, record.length - done);
      const take = Math.min(length - done, BLOCK - (this.#at % BLOCK));
      this.#buffer.set(record.subarray(done, done + take), this.#at);
      done += take;
      this.#at += take;
    }
  }

  #page(flags: number, rest: number): void {
    const isLong = this.#at % this.segmentSizeBytes === 0;
    const header = Buffer.alloc(isLong ? 40 : 24);
    header.writeUInt16LE(PAGE_MAGIC[17], 0);
    header.writeUInt16LE(flags | (isLong ? 2 : 0), 2);
    header.writeUInt32LE(this.timeline, 4);
    header.writeBigUInt64LE(this.#lsn(this.#at), 8);
    header.writeUInt32LE(rest, 16);
    if (isLong) {
      header.writeBigUInt64LE(7_574_321_987_654_321_098n, 24);
      header.writeUInt32LE(this.segmentSizeBytes, 32);
      header.writeUInt32LE(BLOCK, 36);
    }
    this.#buffer.set(header, this.#at);
    this.#at += header.length;
  }
}
