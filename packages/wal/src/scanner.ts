import { formatLsn, KeyframeError, type Lsn, lsn } from '@keyframe/contracts';
import { updateCrc } from './crc32c.ts';
import type { RecordPlace, WalFact } from './facts.ts';
import { PAGE_FLAG, type SegmentHeader } from './page-header.ts';
import { PendingRecord } from './pending-record.ts';
import {
  endsSubtransaction,
  isResourceManager,
  isSwitch,
  isTelling,
  readFact,
  RECORD_CRC_OFFSET,
  RECORD_HEADER_BYTES,
  type RecordBody,
} from './record.ts';
import type { RecordWalker } from './record-walker.ts';
import { RecordWatch } from './record-watch.ts';
import { ENDED, isZero, SegmentPages, type WalEnd } from './segment-pages.ts';
import type { ScanOptions, WalScanner, WalScannerOptions } from './wal-scanner.ts';

/** A scanner at the start of its work; it is for one pass over one sequence of segments. */
export function createWalScanner(options: WalScannerOptions): WalScanner {
  return new Scanner(options);
}

const padded = (bytes: number): number => (bytes + 7) & ~7;

class Scanner implements WalScanner {
  readonly #pages: SegmentPages;
  readonly #verifyAll: boolean;
  readonly #onRecord: WalScannerOptions['onRecord'];
  readonly #watch: RecordWatch;
  readonly #walker: RecordWalker | undefined;
  #facts: WalFact[] = [];

  /** No record boundary is known yet. */
  #seeking = true;
  /** A record was read, so that the link back of the next one is known. */
  #linked = false;
  #previousLow = 0;
  #previousHigh = 0;
  /** End of the last record: the segment's start and the offset in it. */
  #endBase = 0n;
  #endOffset = 0;
  readonly #pending: PendingRecord;
  #isPending = false;
  /** Start of the pending record that an overwrite record is to replace. */
  #abandoned: Lsn | undefined;

  constructor(options: WalScannerOptions) {
    this.#pages = new SegmentPages(options.segmentSizeBytes, options.timelineOf, options.walker !== undefined);
    this.#onRecord = options.onRecord;
    this.#verifyAll = options.verifyAll !== false || options.onRecord !== undefined;
    const watch = new RecordWatch(options.watch);
    this.#watch = watch;
    this.#walker = options.walker;
    this.#pending = new PendingRecord(
      (resourceManager, info) =>
        isTelling(resourceManager, info, watch.files) || watch.needsPayload(resourceManager, info),
      options.walker,
    );
  }

  get position(): Lsn {
    return lsn(this.#endBase + BigInt(this.#endOffset));
  }

  get lastRecord(): Lsn | undefined {
    return this.#linked ? lsn((BigInt(this.#previousHigh) << 32n) | BigInt(this.#previousLow)) : undefined;
  }

  get header(): SegmentHeader | undefined {
    return this.#pages.header;
  }

  get unfinished(): Lsn | undefined {
    return this.#isPending ? this.#pending.lsn : undefined;
  }

  get ended(): WalEnd | undefined {
    return this.#pages.ended;
  }

  scan(segment: Uint8Array, segmentStart: Lsn, options: ScanOptions = {}): WalFact[] {
    const pages = this.#pages;
    const isFirst = pages.header === undefined;
    const more = options.more === true;
    const bytes = this.#walker?.hold(segment) ?? segment;
    if (pages.ended !== undefined || !pages.enter(bytes, segmentStart, more)) return [];
    this.#watch.enter(pages.start);
    const start = isFirst && options.from !== undefined ? this.#startAt(options.from) : this.#resume();
    if (start !== ENDED && this.#walk(start) && !more && pages.limit < pages.segmentEnd)
      pages.stop(pages.limit, 'cut', 'the segment is not all there');
    pages.leave();
    const facts = this.#facts;
    this.#facts = [];
    return facts;
  }

  /** Offset of the record that begins at `from`. */
  #startAt(from: Lsn): number {
    const pages = this.#pages;
    const offset = Number(from - pages.start);
    if (offset < 0 || offset >= pages.sizeBytes || (offset & 7) !== 0)
      throw new KeyframeError(
        'INVALID_OPTION',
        `no record begins at ${formatLsn(from)} in WAL at ${formatLsn(pages.at(0))}`,
      );
    this.#begin(offset);
    if ((offset & (pages.blockBytes - 1)) === 0) return offset;
    // The first page is opened too, since only it says whose segment this is.
    return pages.limit > 0 && pages.open(0) === ENDED ? ENDED : this.#enterPage(offset);
  }

  /** Opens the page in whose middle a record begins, unless it comes in a later piece. */
  #enterPage(offset: number): number {
    const pages = this.#pages;
    const inPage = offset & (pages.blockBytes - 1);
    // At a page's first byte the walk opens the page itself.
    if (inPage === 0 || offset >= pages.limit) return offset;
    const header = pages.open(offset - inPage);
    if (header === ENDED) return ENDED;
    if (inPage < header) return pages.stop(offset, 'record-header', 'a page header stands there');
    if (inPage === header && this.#hasFlag(offset - inPage, PAGE_FLAG.firstIsContrecord))
      return pages.stop(offset, 'continuation', 'the rest of an earlier record stands there');
    return offset;
  }

  /** Where this segment's first new record begins, once what the last segment left open is done with. */
  #resume(): number {
    if (this.#seeking) return this.#seek();
    if (this.#isPending) return this.#feedPending(0);
    // Ahead of this piece lies a record to begin at, or the end of a segment that was switched.
    const ahead = Number(this.#endBase - this.#pages.start) + this.#endOffset;
    return ahead > 0 ? this.#enterPage(ahead) : 0;
  }

  /** Skips the rest of a record that began before the scan did. */
  #seek(): number {
    const pages = this.#pages;
    for (let page = 0; page < pages.limit; page += pages.blockBytes) {
      const header = pages.open(page);
      if (header === ENDED) return ENDED;
      const rest = this.#hasFlag(page, PAGE_FLAG.firstIsContrecord) ? padded(pages.view.getUint32(page + 16, true)) : 0;
      if (rest < pages.blockBytes - header) {
        this.#begin(page + header + rest);
        return page + header + rest;
      }
    }
    return pages.limit;
  }

  #begin(offset: number): void {
    this.#seeking = false;
    this.#endBase = this.#pages.start;
    this.#endOffset = offset;
  }

  #hasFlag(page: number, flag: number): boolean {
    return (this.#pages.view.getUint16(page + 2, true) & flag) !== 0;
  }

  /** Reads record after record to the end of what is there. False when the scan has ended before. */
  #walk(start: number): boolean {
    const pages = this.#pages;
    const { view, limit, blockBytes } = pages;
    let at = start;
    while (at < limit) {
      let inPage = at & (blockBytes - 1);
      if (inPage === 0) {
        const header = pages.open(at);
        if (header === ENDED) return false;
        if (this.#hasFlag(at, PAGE_FLAG.firstIsContrecord)) {
          pages.stop(at, 'continuation', 'the rest of a record stands there that did not begin before');
          return false;
        }
        at += header;
        inPage = header;
      }
      const room = blockBytes - inPage;
      const ahead = this.#walkAhead(at, at + room);
      if (ahead > at) {
        at = ahead;
        continue;
      }
      const totalBytes = view.getUint32(at, true);
      at = totalBytes > room ? this.#readLong(at, totalBytes, room) : this.#readShort(at, totalBytes, room);
      if (at === ENDED) return false;
    }
    return true;
  }

  /** Past the records up to `end`, which is in their page, that are all in order; what is not is left to be looked at here. */
  #walkAhead(at: number, end: number): number {
    const walker = this.#walker;
    if (walker === undefined || !this.#linked) return at;
    const pages = this.#pages;
    const next = walker.walk(at, end, {
      start: pages.startNumber,
      previousEnd: Number(this.position),
      low: pages.startLow + at,
      high: pages.startHigh,
      previousLow: this.#previousLow,
      previousHigh: this.#previousHigh,
    });
    if (next > at) this.#advance(walker.previousLow, walker.previousHigh, next);
    return next;
  }

  /** A record that ends in its page. Returns where the next one begins. */
  #readShort(at: number, totalBytes: number, room: number): number {
    const pages = this.#pages;
    const { view, bytes } = pages;
    const low = pages.startLow + at;
    if (totalBytes < RECORD_HEADER_BYTES) return this.#badLength(at, totalBytes, room);
    if (!this.#checkHeader(view, at, low, pages.startHigh, at)) return ENDED;
    const info = view.getUint8(at + 16);
    const resourceManager = view.getUint8(at + 17);
    const next = isSwitch(resourceManager, info) ? pages.segmentEnd : at + padded(totalBytes);
    const isWanted = this.#isWanted(resourceManager, info, view.getUint32(at + 4, true), next);
    const payload = at + RECORD_HEADER_BYTES;
    const end = at + totalBytes;
    if (this.#verifyAll || isWanted) {
      const crc = updateCrc(updateCrc(-1, bytes, view, payload, end), bytes, view, at, at + RECORD_CRC_OFFSET);
      if (~crc !== view.getInt32(at + RECORD_CRC_OFFSET, true)) return pages.stop(at, 'checksum', BAD_CHECKSUM);
    }
    if (isWanted) {
      const xid = view.getUint32(at + 4, true);
      const body = { resourceManager, info, xid, bytes, view, start: payload, end };
      if (!this.#report(body, pages.at(at), at, next, totalBytes)) return ENDED;
    }
    return this.#advance(low, pages.startHigh, next);
  }

  /** A record that goes on in the next page. Returns where the one after it begins. */
  #readLong(at: number, totalBytes: number, room: number): number {
    const pages = this.#pages;
    if (totalBytes < RECORD_HEADER_BYTES) return this.#badLength(at, totalBytes, room);
    const hasHeader = room >= RECORD_HEADER_BYTES;
    if (hasHeader && !this.#checkHeader(pages.view, at, pages.startLow + at, pages.startHigh, at)) return ENDED;
    this.#pending.begin(pages.start, at, totalBytes);
    this.#isPending = true;
    this.#pending.feed(pages.bytes, pages.view, at, room);
    return this.#feedPending(at + room);
  }

  /** Feeds the pending record from the page at `from` on. */
  #feedPending(from: number): number {
    const pages = this.#pages;
    const pending = this.#pending;
    for (let page = from; page < pages.limit; page += pages.blockBytes) {
      const header = pages.open(page);
      if (header === ENDED) return ENDED;
      if (this.#hasFlag(page, PAGE_FLAG.firstIsOverwriteContrecord)) {
        this.#abandoned = pending.lsn;
        this.#isPending = false;
        return page;
      }
      const isRest = this.#hasFlag(page, PAGE_FLAG.firstIsContrecord);
      const rest = isRest ? pages.view.getUint32(page + 16, true) : 0;
      const offset = Number(pending.lsn - pages.start);
      if (rest !== pending.missingBytes)
        return pages.stop(
          offset,
          'continuation',
          `the page at ${formatLsn(pages.at(page))} does not continue the record`,
        );
      const hadHeader = pending.hasHeader;
      pending.feed(pages.bytes, pages.view, page + header, Math.min(rest, pages.blockBytes - header));
      if (!hadHeader && !this.#checkHeader(pending.headerView, 0, pending.low, pending.high, offset)) return ENDED;
      if (pending.missingBytes === 0) return this.#finishPending(offset, page + header + padded(rest));
    }
    return pages.limit;
  }

  #finishPending(offset: number, end: number): number {
    const pages = this.#pages;
    const pending = this.#pending;
    this.#isPending = false;
    const view = pending.headerView;
    const info = view.getUint8(16);
    const resourceManager = view.getUint8(17);
    const xid = view.getUint32(4, true);
    const next = isSwitch(resourceManager, info) ? pages.segmentEnd : end;
    const isWanted = this.#isWanted(resourceManager, info, xid, next);
    if ((this.#verifyAll || isWanted) && !pending.hasRightCrc()) return pages.stop(offset, 'checksum', BAD_CHECKSUM);
    if (isWanted) {
      const bytes = pending.payload();
      const payload = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
      const body = { resourceManager, info, xid, bytes, view: payload, start: 0, end: bytes.length };
      if (!this.#report(body, pending.lsn, offset, next, pending.totalBytes)) return ENDED;
    }
    return this.#advance(pending.low, pending.high, next);
  }

  #badLength(at: number, totalBytes: number, room: number): typeof ENDED {
    const isBlank = totalBytes === 0 && isZero(this.#pages.bytes, at, at + Math.min(room, RECORD_HEADER_BYTES));
    return this.#pages.stop(at, isBlank ? 'zeros' : 'record-header', `a record of ${totalBytes} bytes`);
  }

  /**
   * Checks the header at `at` of `view` of the record that begins at the LSN `high`/`low`, which is `offset` in the segment.
   * @see ValidXLogRecordHeader in src/backend/access/transam/xlogreader.c
   */
  #checkHeader(view: DataView, at: number, low: number, high: number, offset: number): boolean {
    const resourceManager = view.getUint8(at + 17);
    if (resourceManager > 21 && !isResourceManager(resourceManager, this.#pages.major)) {
      this.#pages.stop(offset, 'record-header', `resource manager ${resourceManager}`);
      return false;
    }
    const linkLow = view.getUint32(at + 8, true);
    const linkHigh = view.getUint32(at + 12, true);
    // The link of the first record read can only be checked to point back.
    const isLinked = this.#linked
      ? linkLow === this.#previousLow && linkHigh === this.#previousHigh
      : linkHigh < high || (linkHigh === high && linkLow < low);
    if (!isLinked) {
      const link = lsn((BigInt(linkHigh) << 32n) | BigInt(linkLow));
      this.#pages.stop(offset, 'previous-link', `its record is linked back to ${formatLsn(link)}`);
    }
    return isLinked;
  }

  #isWanted(resourceManager: number, info: number, xid: number, next: number): boolean {
    return (
      this.#walker !== undefined ||
      isTelling(resourceManager, info, this.#watch.files) ||
      this.#watch.wants(resourceManager, info, xid, next) ||
      this.#onRecord !== undefined
    );
  }

  /** Goes past a record that is valid. */
  #advance(low: number, high: number, next: number): number {
    this.#linked = true;
    this.#previousLow = low;
    this.#previousHigh = high;
    this.#endBase = this.#pages.start;
    this.#endOffset = next;
    return next;
  }

  /** Reports what is to be said of a record. False when it cannot be read, which ends the scan. */
  #report(record: RecordBody, start: Lsn, offset: number, next: number, totalBytes: number): boolean {
    const { resourceManager, info, xid } = record;
    const pages = this.#pages;
    const touches = this.#endBase === pages.start && this.#endOffset === offset;
    const place = { lsn: start, endLsn: pages.at(next), previousEndLsn: touches ? start : this.position };
    this.#onRecord?.({ lsn: start, endLsn: place.endLsn, resourceManager, info, xid, totalBytes });
    if (this.#walker?.take(record, place) === false) {
      pages.stop(offset, 'record-header', UNREADABLE);
      return false;
    }
    this.#facts.push(...this.#watch.report(record, place, next, pages.start, pages.major));
    return !isTelling(resourceManager, info, this.#watch.files) || this.#tell(record, place, offset);
  }

  /** Adds what a telling record says. */
  #tell(record: RecordBody, place: RecordPlace, offset: number): boolean {
    const pages = this.#pages;
    const fact = readFact(record, place, pages.major);
    const abandoned = this.#abandoned;
    if (fact?.kind === 'overwrite') this.#abandoned = undefined;
    const isRight =
      fact !== undefined && (fact.kind !== 'overwrite' || (abandoned ?? fact.abandonedLsn) === fact.abandonedLsn);
    if (!isRight) {
      pages.stop(offset, 'record-header', UNREADABLE);
      return false;
    }
    this.#facts.push(fact);
    const isEnd = fact.kind === 'commit' || fact.kind === 'abort';
    const watched = this.#watch.xid;
    if (isEnd && watched !== 0 && endsSubtransaction(record, watched, pages.major))
      this.#facts.push({ ...place, kind: 'subtransaction', xid: watched, topXid: fact.xid });
    return true;
  }
}

const BAD_CHECKSUM = 'the checksum of the record is wrong';
const UNREADABLE = 'the record cannot be decoded';
