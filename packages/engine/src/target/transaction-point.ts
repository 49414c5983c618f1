import type { Lsn } from '@keyframe/contracts';

/** The end of a transaction, as plans show it. */
export interface TransactionPoint {
  readonly xid: number;
  readonly timeMicros: bigint;
  /** Start of the record of its end. */
  readonly lsn: Lsn;
}

/** Xids are compared as on a circle: half of them lie ahead, half behind. */
export function isNewer(xid: number, than: number): boolean {
  return ((xid - than) | 0) > 0;
}
