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

const hex = (value: number): string => `0x${value.toString(16).toUpperCase().padStart(4, '0')}`;

/**
 * Reads the long page header at the start of a segment (a partial one too). Only the first 40 bytes are looked at.
 * @throws {KeyframeError} WAL_INVALID, saying which field is wrong
 */
export function readSegmentHeader(bytes: Uint8Array): SegmentHeader {
  const header = inspectSegmentHeader(bytes);
  if (typeof header !== 'string') return header;
  throw new KeyframeError('WAL_INVALID', `this is not a WAL segment: ${header}`, {
    hint: 'Check the file with `pg_waldump`; archive only what PostgreSQL hands to archive_command.',
  });
}

/** As {@link readSegmentHeader}, with what is wrong as a text instead of an exception. */
export function inspectSegmentHeader(bytes: Uint8Array): SegmentHeader | string {
  if (bytes.length < LONG_HEADER_BYTES) return `${bytes.length} bytes are too few for a page header`;
  const view = new DataView(bytes.buffer, bytes.byteOffset, LONG_HEADER_BYTES);
  const magic = view.getUint16(0, true);
  const header: SegmentHeader = {
    magic,
    postgresMajor: majorOfMagic(magic),
    timeline: view.getUint32(4, true),
    pageAddress: lsn(view.getBigUint64(8, true)),
    systemIdentifier: view.getBigUint64(24, true).toString(),
    segmentSizeBytes: view.getUint32(32, true),
    blockSizeBytes: view.getUint32(36, true),
  };
  return faultOfMagic(magic) ?? faultOfFlags(view.getUint16(2, true)) ?? faultOfFields(header) ?? header;
}

function faultOfMagic(magic: number): string | undefined {
  if (magic === 0) return 'it begins with zeros';
  // All releases since 9.3 count upwards from 0xD075; a swapped value comes from a machine of the other byte order.
  if ((magic & 0xf0_00) === 0xd0_00) return undefined;
  const swapped = ((magic & 0xff) << 8) | (magic >>> 8);
  return majorOfMagic(swapped) === undefined ? `page magic ${hex(magic)}` : 'it was written on a big-endian machine';
}

function faultOfFlags(flags: number): string | undefined {
  if ((flags & ~PAGE_FLAG.all) !== 0) return `unknown page flags ${hex(flags)}`;
  return (flags & PAGE_FLAG.longHeader) === 0 ? 'its first page has no long header' : undefined;
}

/** A power of two within bounds. */
const isSize = (bytes: number, least: number, most: number): boolean =>
  bytes >= least && bytes <= most && (bytes & (bytes - 1)) === 0;

function faultOfFields({ timeline, segmentSizeBytes, blockSizeBytes, pageAddress }: SegmentHeader): string | undefined {
  if (timeline === 0) return 'timeline 0';
  if (!isSize(segmentSizeBytes, 1 << 20, 1 << 30)) return `segment size ${segmentSizeBytes}`;
  if (!isSize(blockSizeBytes, 1 << 10, 1 << 16)) return `WAL block size ${blockSizeBytes}`;
  if (pageAddress % BigInt(segmentSizeBytes) === 0n) return undefined;
  return `page address ${formatLsn(pageAddress)} is not the start of a segment of ${segmentSizeBytes} bytes`;
}
