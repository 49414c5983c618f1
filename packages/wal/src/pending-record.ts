import { type Lsn, lsn } from '@keyframe/contracts';
import { updateCrc } from './crc32c.ts';
import type { RecordWalker } from './record-walker.ts';
import { RECORD_CRC_OFFSET, RECORD_HEADER_BYTES } from './record.ts';

/**
 * A record that goes on in the next page or segment, fed piece by piece. Its CRC is computed on the way; its payload is
 * kept only when it will be read, so a record of any length costs no memory.
 */
export class PendingRecord {
  /** The fixed header, which itself may be split between two pages. */
  readonly header: Uint8Array = new Uint8Array(RECORD_HEADER_BYTES);
  readonly headerView: DataView = new DataView(this.header.buffer);
  /** The segment the record begins in, and where in it. */
  segmentStart = 0n;
  offset = 0;
  totalBytes = 0;
  receivedBytes = 0;
  #crc = -1;
  #payload: Uint8Array[] | undefined;
  readonly #isWanted: (resourceManager: number, info: number) => boolean;

  readonly #walker: RecordWalker | undefined;

  /** Keeps the payload of wanted records; with a walker, of all that its scratch memory has room for. */
  constructor(isWanted: (resourceManager: number, info: number) => boolean, walker?: RecordWalker) {
    this.#isWanted = isWanted;
    this.#walker = walker;
  }

  begin(segmentStart: bigint, offset: number, totalBytes: number): void {
    this.segmentStart = segmentStart;
    this.offset = offset;
    this.totalBytes = totalBytes;
    this.receivedBytes = 0;
    this.#crc = -1;
    this.#payload = undefined;
  }

  get lsn(): Lsn {
    return lsn(this.segmentStart + BigInt(this.offset));
  }

  /** The halves of {@link lsn}. */
  get low(): number {
    return Number(this.segmentStart & 0xff_ff_ff_ffn) + this.offset;
  }

  get high(): number {
    return Number(this.segmentStart >> 32n);
  }

  get hasHeader(): boolean {
    return this.receivedBytes >= RECORD_HEADER_BYTES;
  }

  get missingBytes(): number {
    return this.totalBytes - this.receivedBytes;
  }

  /** Takes `bytes[start, start + length)`, at most {@link missingBytes}. */
  feed(bytes: Uint8Array, view: DataView, start: number, length: number): void {
    let at = start;
    const end = start + length;
    if (!this.hasHeader) {
      const take = Math.min(RECORD_HEADER_BYTES - this.receivedBytes, length);
      this.header.set(bytes.subarray(at, at + take), this.receivedBytes);
      this.receivedBytes += take;
      at += take;
      const info = this.headerView.getUint8(16);
      if (this.hasHeader && this.#inScratch) this.#walker?.scratch.set(this.header);
      else if (this.hasHeader && this.#isWanted(this.headerView.getUint8(17), info)) this.#payload = [];
    }
    if (at === end) return;
    const walker = this.#walker;
    this.#crc = walker?.crc(this.#crc, at, end) ?? updateCrc(this.#crc, bytes, view, at, end);
    if (walker !== undefined && this.#inScratch) walker.scratch.set(bytes.subarray(at, end), this.receivedBytes);
    this.receivedBytes += end - at;
    // A copy, since the segment's buffer is the caller's again once the scan of it is done.
    this.#payload?.push(new Uint8Array(bytes.subarray(at, end)));
  }

  /** True when the CRC of the whole record is the one in its header. */
  hasRightCrc(): boolean {
    const crc = updateCrc(this.#crc, this.header, this.headerView, 0, RECORD_CRC_OFFSET);
    return ~crc === this.headerView.getInt32(RECORD_CRC_OFFSET, true);
  }

  get #inScratch(): boolean {
    return this.#walker !== undefined && this.totalBytes <= this.#walker.scratch.length;
  }

  /** The payload of a wanted record; empty for others. */
  payload(): Uint8Array {
    if (this.#walker !== undefined && this.#inScratch) return this.#walker.scratchPayload(this.totalBytes);
    const pieces = this.#payload ?? [];
    const whole = new Uint8Array(pieces.reduce((sum, piece) => sum + piece.length, 0));
    let at = 0;
    for (const piece of pieces) {
      whole.set(piece, at);
      at += piece.length;
    }
    return whole;
  }
}
