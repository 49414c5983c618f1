import { type Lsn, lsn, type TimelineId } from '@keyframe/contracts';

/** Consecutive segments of one timeline's files. */
export interface IndexPlace {
  readonly timeline: TimelineId;
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
}

const KEY = /^index\/([0-9A-F]{8})\/([0-9A-F]{16})-([0-9A-F]{16})$/u;

const hex = (value: bigint | number, digits: number): string => value.toString(16).toUpperCase().padStart(digits, '0');

/** Key of an object of the index below the prefix of its epoch. */
export function indexKey({ timeline, startLsn, endLsn }: IndexPlace): string {
  return `index/${hex(timeline, 8)}/${hex(startLsn, 16)}-${hex(endLsn, 16)}`;
}

/** `undefined` for a key that is none of ours. */
export function parseIndexKey(key: string): IndexPlace | undefined {
  const [, timeline, start, end] = KEY.exec(key) ?? [];
  if (timeline === undefined || start === undefined || end === undefined) return undefined;
  const place = {
    timeline: Number.parseInt(timeline, 16),
    startLsn: lsn(BigInt(`0x${start}`)),
    endLsn: lsn(BigInt(`0x${end}`)),
  };
  return place.startLsn < place.endLsn ? place : undefined;
}
