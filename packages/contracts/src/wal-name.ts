/**
 * Names of the files in pg_wal and in the archive.
 * @see https://www.postgresql.org/docs/18/continuous-archiving.html
 * @see src/include/access/xlog_internal.h in PostgreSQL
 * @packageDocumentation
 */
import { KeyframeError } from './errors.ts';
import type { Lsn, TimelineId } from './lsn.ts';

/** A file PostgreSQL archives: a whole segment, a timeline history, a backup history, or a promoted timeline's last piece. */
export type WalFileName =
  | {
      readonly kind: 'segment';
      readonly name: string;
      readonly timeline: TimelineId;
      readonly log: number;
      readonly segment: number;
    }
  | {
      readonly kind: 'partial';
      readonly name: string;
      readonly timeline: TimelineId;
      readonly log: number;
      readonly segment: number;
    }
  | {
      readonly kind: 'backup';
      readonly name: string;
      readonly timeline: TimelineId;
      readonly log: number;
      readonly segment: number;
      readonly offset: number;
    }
  | { readonly kind: 'history'; readonly name: string; readonly timeline: TimelineId };

const HISTORY = /^([0-9A-F]{8})\.history$/;
const SEGMENT = /^([0-9A-F]{8})([0-9A-F]{8})([0-9A-F]{8})(?:(\.partial)|\.([0-9A-F]{8})\.backup)?$/;

/** Reads a WAL file name; `undefined` for any other name. */
export function parseWalFileName(name: string): WalFileName | undefined {
  const history = HISTORY.exec(name);
  if (history?.[1] !== undefined) return { kind: 'history', name, timeline: Number.parseInt(history[1], 16) };
  const match = SEGMENT.exec(name);
  if (match === null) return undefined;
  const [timeline = 0, log = 0, segment = 0] = match.slice(1, 4).map((digits) => Number.parseInt(digits, 16));
  const parts = { name, timeline, log, segment };
  if (match[4] !== undefined) return { kind: 'partial', ...parts };
  if (match[5] !== undefined) return { kind: 'backup', ...parts, offset: Number.parseInt(match[5], 16) };
  return { kind: 'segment', ...parts };
}

const hex8 = (value: number | bigint): string => value.toString(16).toUpperCase().padStart(8, '0');

/** @throws {KeyframeError} INVALID_OPTION unless a power of two from 1 MiB to 1 GiB, as `initdb --wal-segsize` allows. */
export function assertSegmentSize(sizeBytes: number): void {
  const legal =
    Number.isInteger(sizeBytes) && sizeBytes >= 1 << 20 && sizeBytes <= 1 << 30 && (sizeBytes & (sizeBytes - 1)) === 0;
  if (!legal)
    throw new KeyframeError('INVALID_OPTION', `${sizeBytes} bytes is no WAL segment size`, {
      hint: 'Read the size with `show wal_segment_size`: it is a power of two from 1 MiB to 1 GiB.',
    });
}

/** Name of the segment that holds `position` on `timeline`. */
export function segmentNameAt(timeline: TimelineId, position: Lsn, segmentSizeBytes: number): string {
  return segmentName(timeline, position / BigInt(segmentSizeBytes), segmentSizeBytes);
}

/** Name of the segment with that running number (LSN divided by the segment size). */
export function segmentName(timeline: TimelineId, segmentNumber: bigint, segmentSizeBytes: number): string {
  const perLog = 0x1_00_00_00_00n / BigInt(segmentSizeBytes);
  return hex8(timeline) + hex8(segmentNumber / perLog) + hex8(segmentNumber % perLog);
}

/** Running number of a segment, backup or partial name: its start LSN divided by the segment size. */
export function segmentNumberOf(
  file: { readonly log: number; readonly segment: number },
  segmentSizeBytes: number,
): bigint {
  return BigInt(file.log) * (0x1_00_00_00_00n / BigInt(segmentSizeBytes)) + BigInt(file.segment);
}

/** First LSN of a segment, backup or partial name. */
export function segmentStart(file: { readonly log: number; readonly segment: number }, segmentSizeBytes: number): Lsn {
  return (segmentNumberOf(file, segmentSizeBytes) * BigInt(segmentSizeBytes)) as Lsn;
}

/** `00000002.history` */
export function historyName(timeline: TimelineId): string {
  return `${hex8(timeline)}.history`;
}
