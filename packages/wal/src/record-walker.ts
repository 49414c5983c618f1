import type { RecordPlace } from './facts.ts';
import type { RecordBody } from './record.ts';

/** Where a walk begins: LSNs as numbers, and the halves of those that links between records are made of. */
export interface WalkPlace {
  /** LSN of the piece's first byte. */
  readonly start: number;
  /** Where the record before ended. */
  readonly previousEnd: number;
  readonly low: number;
  readonly high: number;
  /** Start of the record before. */
  readonly previousLow: number;
  readonly previousHigh: number;
}

/**
 * Takes records in, and goes ahead of the scanner over those that are all in order. It judges nothing: where it stops, the
 * scanner looks.
 */
export interface RecordWalker {
  /** Copies a piece of at most 1 MiB into its memory; behind it, up to a page of any size, are zeros. */
  hold(piece: Uint8Array): Uint8Array;
  /** Takes in the records between these offsets of the piece, which lie on one page. Returns where it stopped. */
  walk(at: number, end: number, place: WalkPlace): number;
  /** Start of the last record that was walked over. */
  readonly previousLow: number;
  readonly previousHigh: number;
  /** Takes in a record that the scanner found right. False when what is in it cannot be read. */
  take(record: RecordBody, place: RecordPlace): boolean;
  /** Feeds bytes of the piece into a CRC. */
  crc(register: number, at: number, end: number): number;
  /** Room for a record in pieces. */
  readonly scratch: Uint8Array;
  /** The payload of a record that lies in the scratch memory. */
  scratchPayload(totalBytes: number): Uint8Array;
}
