import { formatLsn, KeyframeError, type Lsn, lsn, type TimelineId } from '@keyframe/contracts';
import {
  inspectSegmentHeader,
  LONG_HEADER_BYTES,
  PAGE_FLAG,
  type PostgresMajor,
  type SegmentHeader,
  SHORT_HEADER_BYTES,
} from './page-header.ts';

/**
 * Why a scan ended. The first three are how WAL ends in order: never written, written in an earlier life of a recycled
 * file, or not all there yet. The others are a torn last write, or damage. No reason is in order inside a whole segment
 * that was archived: the server archives a segment only when it is full.
 */
export type WalEndReason =
  | 'zeros'
  | 'stale-page'
  | 'cut'
  | 'page-header'
  | 'timeline'
  | 'record-header'
  | 'previous-link'
  | 'checksum'
  | 'continuation';

/** Where and why nothing more can be read. PostgreSQL's own recovery ends at the same place. */
export interface WalEnd {
  /** The record or page that is not valid. */
  readonly at: Lsn;
  readonly reason: WalEndReason;
  /** For people: what is wrong there. */
  readonly message: string;
}

/** What an operation returns instead of an offset when the scan has ended. */
export const ENDED = -1;

const NOTHING = new Uint8Array(0);
const NOTHING_VIEW = new DataView(NOTHING.buffer);

/** True when all bytes from `start` to `end` are zero. */
export function isZero(bytes: Uint8Array, start: number, end: number): boolean {
  for (let at = start; at < end; at++) if (bytes[at] !== 0) return false;
  return true;
}

/** The pages under the scanner, each checked when it is opened: a segment, or a piece of it. Keeps what later pages are checked against. */
export class SegmentPages {
  bytes: Uint8Array = NOTHING;
  view: DataView = NOTHING_VIEW;
  /** LSN of the first byte, whole and in two halves. */
  start = 0n;
  /** As a number, which makes an LSN without big-integer arithmetic as long as it is exact. */
  startNumber = 0;
  startLow = 0;
  startHigh = 0;
  /** Bytes that are there, rounded up to whole pages by zeros. */
  limit = 0;
  /** Offset of the segment's end; behind `limit` when more of the segment follows. */
  segmentEnd = 0;
  blockBytes = 0;
  major: PostgresMajor = 18;
  header: SegmentHeader | undefined;
  ended: WalEnd | undefined;
  readonly sizeBytes: number;
  readonly #timelineOf: ((position: Lsn) => TimelineId | undefined) | undefined;
  /** Where the next pages must begin. */
  #next = 0n;
  #systemIdentifier = 0n;
  #latestTimeline: TimelineId = 0;

  readonly #zerosFollow: boolean;

  /** `zerosFollow`: behind what it is given there are zeros up to the end of a page. */
  constructor(
    sizeBytes: number,
    timelineOf: ((position: Lsn) => TimelineId | undefined) | undefined,
    zerosFollow = false,
  ) {
    this.sizeBytes = sizeBytes;
    this.#timelineOf = timelineOf;
    this.#zerosFollow = zerosFollow;
  }

  /** Moves on to a segment, or a piece of it. False when the first one is none, which ends the scan. */
  enter(segment: Uint8Array, start: Lsn, more: boolean): boolean {
    const inSegment = Number(start % BigInt(this.sizeBytes));
    const follows = this.header === undefined ? inSegment === 0 : start === this.#next;
    if (!follows || inSegment + segment.length > this.sizeBytes)
      throw new KeyframeError('INVALID_OPTION', `WAL at ${formatLsn(start)} does not follow what was scanned`);
    this.start = start;
    this.segmentEnd = this.sizeBytes - inSegment;
    this.#next = start + BigInt(more ? segment.length : this.segmentEnd);
    this.startNumber = Number(start);
    this.startLow = Number(start & 0xff_ff_ff_ffn);
    this.startHigh = Number(start >> 32n);
    if (this.header === undefined && !this.#readFormat(segment)) return false;
    this.limit = Math.ceil(segment.length / this.blockBytes) * this.blockBytes;
    if (more && segment.length !== this.limit)
      throw new KeyframeError('INVALID_OPTION', `the piece of WAL at ${formatLsn(start)} ends inside a page`);
    this.bytes = segment;
    if (this.#zerosFollow) this.bytes = new Uint8Array(segment.buffer, segment.byteOffset, this.limit);
    else if (segment.length < this.limit) {
      this.bytes = new Uint8Array(this.limit);
      this.bytes.set(segment);
    }
    this.view = new DataView(this.bytes.buffer, this.bytes.byteOffset, this.bytes.byteLength);
    return true;
  }

  /** Forgets the buffer, which is the caller's again. */
  leave(): void {
    this.bytes = NOTHING;
    this.view = NOTHING_VIEW;
  }

  /** The LSN of an offset; a negative one lies in an earlier segment. */
  at(offset: number): Lsn {
    const position = this.startNumber + offset;
    return lsn(Number.isSafeInteger(position) ? BigInt(position) : this.start + BigInt(offset));
  }

  /** Ends the scan. */
  stop(offset: number, reason: WalEndReason, message: string): typeof ENDED {
    this.ended = { at: this.at(offset), reason, message };
    return ENDED;
  }

  /** The first segment's header says the format of all that follow. */
  #readFormat(segment: Uint8Array): boolean {
    const header = inspectSegmentHeader(segment);
    if (typeof header === 'string') {
      const blank = segment.length === 0 ? 'cut' : segment[0] === 0 && segment[1] === 0 ? 'zeros' : 'page-header';
      this.stop(0, blank, header);
      return false;
    }
    if (header.postgresMajor === undefined) {
      this.stop(0, 'page-header', `WAL format 0x${header.magic.toString(16)} is of no known major version`);
      return false;
    }
    this.header = header;
    this.major = header.postgresMajor;
    this.blockBytes = header.blockSizeBytes;
    this.#systemIdentifier = BigInt(header.systemIdentifier);
    return true;
  }

  /**
   * Checks the header of the page at `at` and returns its length, or {@link ENDED}.
   * @see XLogReaderValidatePageHeader in src/backend/access/transam/xlogreader.c
   */
  open(at: number): number {
    const { view } = this;
    const magic = view.getUint16(at, true);
    if (magic !== this.header?.magic)
      return this.stop(at, magic === 0 ? 'zeros' : 'page-header', `page magic 0x${magic.toString(16)}`);
    const flags = view.getUint16(at + 2, true);
    if ((flags & ~PAGE_FLAG.all) !== 0)
      return this.stop(at, 'page-header', `unknown page flags 0x${flags.toString(16)}`);
    const isLong = (flags & PAGE_FLAG.longHeader) !== 0;
    if (isLong) {
      const fault = this.#faultOfLongHeader(at);
      if (fault !== undefined) return this.stop(at, 'page-header', fault);
    } else if (at === 0 && this.segmentEnd === this.sizeBytes)
      return this.stop(at, 'page-header', 'the first page has no long header');
    const low = view.getUint32(at + 8, true);
    const high = view.getUint32(at + 12, true);
    if (low !== this.startLow + at || high !== this.startHigh) {
      const stale = formatLsn(lsn((BigInt(high) << 32n) | BigInt(low)));
      return this.stop(at, 'stale-page', `the page is that of ${stale}`);
    }
    return this.#checkTimeline(at) ? (isLong ? LONG_HEADER_BYTES : SHORT_HEADER_BYTES) : ENDED;
  }

  #faultOfLongHeader(at: number): string | undefined {
    const { view } = this;
    const system = view.getBigUint64(at + 24, true);
    if (system !== this.#systemIdentifier) return `the page is of the cluster with system identifier ${system}`;
    if (view.getUint32(at + 32, true) !== this.sizeBytes) return 'the page is of a cluster with another segment size';
    return view.getUint32(at + 36, true) === this.blockBytes
      ? undefined
      : 'the page is of a cluster with another block size';
  }

  /** A child's id is higher than its parent's, so timelines never go back. */
  #checkTimeline(at: number): boolean {
    const timeline = this.view.getUint32(at + 4, true);
    if (timeline < this.#latestTimeline) {
      this.stop(at, 'timeline', `the page is of timeline ${timeline}, after pages of timeline ${this.#latestTimeline}`);
      return false;
    }
    this.#latestTimeline = timeline;
    const expected = this.#timelineOf?.(this.at(at));
    if (expected === undefined || expected === timeline) return true;
    this.stop(at, 'timeline', `the page is of timeline ${timeline} where ${expected} is expected`);
    return false;
  }
}
