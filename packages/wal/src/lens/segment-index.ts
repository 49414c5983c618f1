import type { Lsn, TimelineId } from '@keyframe/contracts';
import type { RelationId, WalFact } from '../facts.ts';
import type { WalEnd } from '../segment-pages.ts';

/** What was done to the rows of one relation. TOAST tables and indexes are relations of their own; indexes have no rows. */
export interface RelationEffect {
  readonly relation: RelationId;
  /** Rows inserted (COPY included), speculative insertions that were withdrawn not counted. */
  readonly inserted: number;
  /** Rows updated, in place or not. */
  readonly updated: number;
  readonly deleted: number;
  /** Pages of it that were changed; one that is come back to after another page counts again. */
  readonly pages: number;
}

/** A message of pg_logical_emit_message(). */
export interface MessageEffect {
  readonly lsn: Lsn;
  readonly prefix: string;
  readonly sizeBytes: number;
}

/** A transaction that has ended, with all it did from its first record on, wherever that stands. */
export interface TransactionEffect {
  /** The top-level xid; of a subtransaction that was rolled back alone, its own: it is listed as an abort of its own. */
  readonly xid: number;
  /** For the abort of a subtransaction: the top-level xid as far as WAL says it (always at wal_level logical); else 0. */
  readonly topXid: number;
  readonly outcome: 'commit' | 'abort';
  /** Ended by COMMIT PREPARED or ROLLBACK PREPARED. */
  readonly prepared: boolean;
  /** The record that ends it: its first byte, and where replay stands behind it. */
  readonly lsn: Lsn;
  readonly endLsn: Lsn;
  /** Its first record that touched a relation, or `lsn`. */
  readonly firstLsn: Lsn;
  /** Of the commit or abort: microseconds since 1970-01-01 UTC. */
  readonly timeMicros: bigint;
  /** The database it worked in, as far as the record of its end says it; 0 unknown. */
  readonly database: number;
  /** Subtransactions that committed with it, or were aborted with it. */
  readonly subtransactions: readonly number[];
  /**
   * Rows it wrote, of all relations, catalogues included ({@link isInitialCatalogue}), those of its committed subtransactions
   * too. Of an aborted transaction: what was undone. Sorted by relation.
   */
  readonly tables: readonly RelationEffect[];
  /** Files of relations that came into being in it (smgr create; new tables, rewrites, TRUNCATE: a new relfilenode each). */
  readonly created: readonly RelationId[];
  /** Files that are removed because it ended so: dropped tables, the old files of rewritten and truncated ones. */
  readonly dropped: readonly RelationId[];
  /** Oids of tables named by a truncate record, which is there at wal_level logical alone. */
  readonly truncated: readonly number[];
  /** Transactional messages. */
  readonly messages: readonly MessageEffect[];
  /** It may have begun before the lens did: the figures are a lower bound. */
  readonly partial: boolean;
}

/**
 * Transactions that all did the same in one segment, alike in tables and rows, and nothing but ordinary work: no catalogue, file
 * or message. They began and ended in it. Kept as one line; reading the segment again tells each of them.
 */
export interface FoldedTransactions {
  readonly outcome: 'commit' | 'abort';
  readonly count: number;
  readonly tables: readonly RelationEffect[];
  /** Of the first and the last of them to end. */
  readonly firstLsn: Lsn;
  readonly lastLsn: Lsn;
  readonly firstTimeMicros: bigint;
  readonly lastTimeMicros: bigint;
  readonly lowestXid: number;
  readonly highestXid: number;
  /** They may have begun before the lens did: the figures are a lower bound. */
  readonly partial: boolean;
}

/** Pages of one fork that changed. */
export interface ChangedBlocks {
  readonly relation: RelationId;
  readonly fork: number;
  /** Ascending. */
  readonly blocks: Uint32Array;
}

/** What is told of records that are no end of a transaction, in order. */
export type LensFact = Exclude<WalFact, { readonly kind: 'commit' | 'abort' | 'record' | 'subtransaction' }>;

/** What one pass over a WAL segment tells. */
export interface SegmentIndex {
  /** The timeline whose file it is. */
  readonly timeline: TimelineId;
  /** LSN of the segment's first byte, and of the byte behind its last. */
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
  readonly records: number;
  readonly commits: number;
  readonly aborts: number;
  /** Of the transactions that ended here; `undefined` when none did. */
  readonly times: { readonly first: bigint; readonly last: bigint } | undefined;
  readonly xids: { readonly lowest: number; readonly highest: number } | undefined;
  /** Transactions that ended here, in the order in which they did, but those in `folded`. */
  readonly transactions: readonly TransactionEffect[];
  readonly folded: readonly FoldedTransactions[];
  /** What was written here per relation, by whatever became of it; sorted by relation. */
  readonly relations: readonly RelationEffect[];
  /** Restore points, checkpoints, promotions, switches, parameter changes and what is told of files. */
  readonly facts: readonly LensFact[];
  /** Why not all of it could be read; `undefined` for a segment that is whole and right in every CRC. */
  readonly fault: WalEnd | undefined;
  /** What the {@link CatalogueTracker} wanted kept with it. */
  readonly notes: Uint8Array | undefined;
}

/** Objects made by initdb have oids, and at first file numbers, below this. */
const FIRST_NORMAL_OID = 16_384;

/** True for a relation made by initdb that still has its first file; a catalogue that was rewritten has a higher number. */
export function isInitialCatalogue(relation: RelationId): boolean {
  return relation.relfilenode < FIRST_NORMAL_OID;
}
