import type { Lsn } from '@keyframe/contracts';
import type { RelationId } from '../facts.ts';
import type { SegmentIndex } from './segment-index.ts';

/** A page that a record names. */
export interface DecodedBlock extends RelationId {
  /** 0 main, 1 free space map, 2 visibility map, 3 init. */
  readonly fork: number;
  /** Number within the fork. */
  readonly block: number;
  /** Replay begins with an empty page, whatever was there. */
  readonly willInit: boolean;
  /** What the record holds for this page. A view that is valid during the call; empty when there is none. */
  readonly data: Uint8Array;
  /**
   * The whole page as it stood when the record was written, its hole filled with zeros and decompressed. Made when it is
   * first asked for; it is the caller's. `undefined` without an image, and for one that cannot be decompressed.
   */
  readonly image: Uint8Array | undefined;
  /** Replay puts the image in place; otherwise it is there for checks alone (wal_consistency_checking). */
  readonly imageApplies: boolean;
}

/** A whole record whose CRC is right, taken apart. All of it is valid during the call that hands it over. */
export interface DecodedRecord {
  /** First byte of the record. */
  readonly lsn: Lsn;
  /** What replay puts into `pd_lsn` of the pages it changes: the byte behind the record, padded to eight. */
  readonly endLsn: Lsn;
  /** `xl_rmid` */
  readonly resourceManager: number;
  /** `xl_info`, all eight bits. */
  readonly info: number;
  /** The transaction or subtransaction that wrote it; 0 for none. */
  readonly xid: number;
  /** The top-level xid of a subtransaction, as far as the record says it (wal_level logical); 0 unknown. */
  readonly topXid: number;
  /** The record's main data. A view that is valid during the call. */
  readonly mainData: Uint8Array;
  /** In the order of their ids: `blocks[n]` is the block of id n in all records that matter here. */
  readonly blocks: readonly DecodedBlock[];
}

/**
 * Follows the catalogues while a lens reads. The lens calls it, in the order of WAL, with
 * - every record of which a block lies in a relation that `wants` said yes to, and
 * - every commit, abort and prepare (resource manager 1), every storage manager record (2), database record (4) and relation
 *   map record (7), whatever it names.
 */
export interface CatalogueTracker {
  /** Whether pages of this relation are followed. Asked once for each relation, and again when `generation` has changed. */
  wants(relation: RelationId): boolean;
  /** Counts up when `wants` may answer otherwise than before. Looked at after each `apply`. */
  readonly generation: number;
  apply(record: DecodedRecord): void;
  /**
   * A segment is read to its end. What is returned (names of the relations in `index`, descriptions of what its transactions
   * did) is stored with it byte for byte as `SegmentIndex.notes`; `undefined` for nothing. Keep it small.
   */
  endSegment(index: SegmentIndex): Uint8Array | undefined;
  /** All that is needed to go on behind the last segment; stored with the newest index only. */
  snapshot(): Uint8Array;
}
