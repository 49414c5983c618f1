import type { Lsn, TimelineId } from '@keyframe/contracts';
import type { WalFact, WatchOptions } from './facts.ts';
import type { SegmentHeader } from './page-header.ts';
import type { RecordWalker } from './record-walker.ts';
import type { WalEnd } from './segment-pages.ts';

/** A record as {@link WalScannerOptions.onRecord} sees it. */
export interface ScannedRecord {
  readonly lsn: Lsn;
  readonly endLsn: Lsn;
  /** `xl_rmid` */
  readonly resourceManager: number;
  /** `xl_info` */
  readonly info: number;
  /** 0 when it belongs to no transaction. */
  readonly xid: number;
  /** Header and payload, without padding. */
  readonly totalBytes: number;
}

/** What a scanner is to read, check and report. */
export interface WalScannerOptions {
  readonly segmentSizeBytes: number;
  /** The timeline that must have written the page at an LSN; `undefined` for any. Default: any, but never going back. */
  readonly timelineOf?: ((position: Lsn) => TimelineId | undefined) | undefined;
  /** Check the CRC of every record, as PostgreSQL does. Otherwise only of those reported. Default true. */
  readonly verifyAll?: boolean | undefined;
  readonly watch?: WatchOptions | undefined;
  /** Called for every valid record, which makes the scan slower. */
  readonly onRecord?: ((record: ScannedRecord) => void) | undefined;
  /** Goes ahead over what is in order, and takes in every record. Segments must then come in pieces of at most 1 MiB. */
  readonly walker?: RecordWalker | undefined;
}

/** Where in a segment to begin, and how much of it there is. */
export interface ScanOptions {
  /**
   * Where the first record begins: a redo LSN, the end of an earlier scan, or a page's first byte. Only for the first
   * segment. Default: the first record that begins in the segment; the end of one begun earlier is skipped.
   */
  readonly from?: Lsn | undefined;
  /** The rest of this segment follows in the next call: these bytes are whole pages of it, to be read in turn. Default false. */
  readonly more?: boolean | undefined;
}

/** Reads the records of consecutive WAL segments. */
export interface WalScanner {
  /**
   * What the records that end in this segment tell, in order. The buffer may be reused afterwards. A shorter buffer is
   * read as the start of its segment. Once the scan has ended, later segments yield nothing. With `more` a segment is read
   * in pieces, each with its own LSN.
   * @throws {KeyframeError} INVALID_OPTION for segments out of order or a `from` outside the segment
   */
  scan(segment: Uint8Array, segmentStart: Lsn, options?: ScanOptions): WalFact[];
  /** End of the last whole record: where replay of what was scanned stands. 0/0 before the first. */
  readonly position: Lsn;
  /** Start of the last whole record; `undefined` before the first. */
  readonly lastRecord: Lsn | undefined;
  /** Header of the first segment. */
  readonly header: SegmentHeader | undefined;
  /** Start of a record whose end was not seen yet. */
  readonly unfinished: Lsn | undefined;
  /** Set when something invalid was met: the end of WAL, or damage. */
  readonly ended: WalEnd | undefined;
}
