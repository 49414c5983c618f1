/**
 * Headers of WAL pages.
 * @see src/include/access/xlog_internal.h in PostgreSQL
 * @packageDocumentation
 */
import { formatLsn, KeyframeError, type Lsn, lsn, type TimelineId } from '@keyframe/contracts';

/** PostgreSQL majors whose WAL is read. */
export type PostgresMajor = 14 | 15 | 16 | 17 | 18;

/** `XLOG_PAGE_MAGIC` of each major. It changes whenever the WAL format does, so it never changes within a major. */
export const PAGE_MAGIC: Readonly<Record<PostgresMajor, number>> = {
  14: 0xd1_0d,
  15: 0xd1_10,
  16: 0xd1_13,
  17: 0xd1_16,
  18: 0xd1_18,
};

/** Bits of `xlp_info`. */
export const PAGE_FLAG = {
  /** The page begins with the rest of a record of the page before. */
  firstIsContrecord: 0x01,
  /** The header is the long one, of a segment's first page. */
  longHeader: 0x02,
  /** Full-page images of the page may be removed. */
  backupRemovable: 0x04,
  /** The record that began on the page before was never finished; what stands here replaces it. */
  firstIsOverwriteContrecord: 0x08,
  all: 0x0f,
} as const;

/** Bytes of a page header, padded to eight. */
export const SHORT_HEADER_BYTES = 24;
/** Bytes of the header of a segment's first page. */
export const LONG_HEADER_BYTES = 40;

/** What the first page of a WAL segment says about it. */
export interface SegmentHeader {
  /** `XLOG_PAGE_MAGIC`. */
  readonly magic: number;
  /** The major that wrote it; `undefined` for a format this release does not know. */
  readonly postgresMajor: PostgresMajor | undefined;
  /** The timeline that wrote this page. In a segment copied at a fork, the parent's. */
  readonly timeline: TimelineId;
  /** LSN of the segment's first byte. */
  readonly pageAddress: Lsn;
  /** The cluster's system identifier, in decimal. */
  readonly systemIdentifier: string;
  readonly segmentSizeBytes: number;
  readonly blockSizeBytes: number;
}

/** The PostgreSQL major that writes pages of this magic, if known. */
export function majorOfMagic(magic: number): PostgresMajor | undefined {
  const majors = [14, 15, 16, 17, 18] as const;
  return majors.find((major) => PAGE_MAGIC[major] === magic);
}

const invalid = (what: string): KeyframeError =>
  new KeyframeError('WAL_INVALID', `this is not a WAL segment: ${what}`, {
    hint: 'Check the file with `pg_waldump`; archive only what PostgreSQL hands to archive_command.',
  });

const hex = (value: number): string => `0x${value.toString(16).toUpperCase().padStart(4, '0')}`;

/**
 * Reads the long page header at the start of a segment (a partial one too). Only the first 40 bytes are looked at.
 * @throws {KeyframeError} WAL_INVALID, saying which field is wrong
 */
export function readSegmentHeader(bytes: Uint8Array): SegmentHeader {
  if (bytes.length < LONG_HEADER_BYTES) throw invalid(`${bytes.length} bytes are too few for a page header`);
  const view = new DataView(bytes.buffer, bytes.byteOffset, LONG_HEADER_BYTES);
  const magic = view.getUint16(0, true);
  checkMagic(magic);
  const flags = view.getUint16(2, true);
  if ((flags & ~PAGE_FLAG.all) !== 0) throw invalid(`unknown page flags ${hex(flags)}`);
  if ((flags & PAGE_FLAG.longHeader) === 0) throw invalid('its first page has no long header');
  const timeline = view.getUint32(4, true);
  if (timeline === 0) throw invalid('timeline 0');
  const segmentSizeBytes = view.getUint32(32, true);
  if (!isSize(segmentSizeBytes, 1 << 20, 1 << 30)) throw invalid(`segment size ${segmentSizeBytes}`);
  const blockSizeBytes = view.getUint32(36, true);
  if (!isSize(blockSizeBytes, 1 << 10, 1 << 16)) throw invalid(`WAL block size ${blockSizeBytes}`);
  const pageAddress = lsn(view.getBigUint64(8, true));
  if (pageAddress % BigInt(segmentSizeBytes) !== 0n)
    throw invalid(`page address ${formatLsn(pageAddress)} is not the start of a segment of ${segmentSizeBytes} bytes`);
  const systemIdentifier = view.getBigUint64(24, true).toString();
  return {
    magic,
    postgresMajor: majorOfMagic(magic),
    timeline,
    pageAddress,
    systemIdentifier,
    segmentSizeBytes,
    blockSizeBytes,
  };
}

function checkMagic(magic: number): void {
  if (magic === 0) throw invalid('it begins with zeros');
  // All releases since 9.3 count upwards from 0xD075; a swapped value comes from a machine of the other byte order.
  if ((magic & 0xf0_00) === 0xd0_00) return;
  const swapped = ((magic & 0xff) << 8) | (magic >>> 8);
  if (majorOfMagic(swapped) !== undefined) throw invalid('it was written on a big-endian machine');
  throw invalid(`page magic ${hex(magic)}`);
}

/** A power of two within bounds. */
function isSize(bytes: number, least: number, most: number): boolean {
  return bytes >= least && bytes <= most && (bytes & (bytes - 1)) === 0;
}
