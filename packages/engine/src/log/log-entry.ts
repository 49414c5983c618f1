import type { Lsn, TimelineId } from '@keyframe/contracts';
import type { Action } from '@keyframe/wal';

/** Rows of one table that a transaction wrote. */
export interface TableRows {
  /** `schema.table`; `relation 1663/16384/16390` where the catalogues do not tell its name. */
  readonly name: string;
  readonly database: string | undefined;
  readonly inserted: number;
  readonly updated: number;
  readonly deleted: number;
  /** Rows the table had, as the planner estimated them; absent where that is not known. */
  readonly about?: number | undefined;
}

/** One thing that happened: a transaction, many that are alike, or a restore point. */
export interface LogEntry {
  readonly kind: 'transaction' | 'transactions' | 'restore-point';
  readonly timeline: TimelineId;
  /** When it ended; of many the first. Microseconds since 1970-01-01 UTC. */
  readonly timeMicros: bigint;
  /** The record that ended it; of many the first. */
  readonly lsn: Lsn;
  /** Where replay stands behind that record; of many where the last of their records begins. */
  readonly endLsn: Lsn;
  /** Of many the lowest; 0 for a restore point. */
  readonly xid: number;
  /** How many, and the last of them, where there are many. */
  readonly many?: { readonly count: number; readonly highestXid: number; readonly lastTimeMicros: bigint } | undefined;
  readonly outcome: 'commit' | 'abort';
  /** Ended by COMMIT PREPARED or ROLLBACK PREPARED. */
  readonly prepared: boolean;
  readonly database: string | undefined;
  /** Subtransactions that ended with it. */
  readonly subtransactions: readonly number[];
  /** Of many what each of them did. */
  readonly tables: readonly TableRows[];
  readonly actions: readonly Action[];
  /** Prefixes of logical messages; the name of a restore point. */
  readonly words: readonly string[];
  /** Why it deserves a look. */
  readonly suspicious: readonly string[];
  /** The rows are a lower bound: it began before what was read. */
  readonly partial: boolean;
}
