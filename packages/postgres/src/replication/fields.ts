import { type Lsn, parseLsn, type TimelineId } from '@keyframe/contracts';

/** A field in text format. */
export function readString(value: Buffer | undefined): string {
  return value?.toString() ?? '';
}

/** A timeline id as the server writes it. */
export function readTimeline(value: Buffer | undefined): TimelineId {
  return Number(readString(value));
}

/** An LSN as the server writes it. */
export function readLsn(value: Buffer | undefined): Lsn {
  return parseLsn(readString(value));
}
