import type { Lsn } from '@keyframe/contracts';

/** What a page of a relation is, as {@link PageInspector.inspect} writes it into `states`. */
export const PAGE = {
  /** Read it: its LSN is not below the limit, it has none, or there is no limit. */
  changed: 0,
  /** Its LSN is below the limit, and its checksum right where that was verified. */
  unchanged: 1,
  /** All bytes zero: never written, or newly extended. */
  zero: 2,
  /** Header or checksum are wrong, and its LSN does not say that it was being written; or no WAL reaches its LSN. */
  damaged: 3,
} as const;

/** What {@link PageInspector.inspect} is asked. */
export interface PageQuestion {
  /** Number of the first page within the whole relation fork, all segment files counted. */
  readonly firstBlock: number;
  /** Pages with an LSN below are unchanged. `undefined`: none is. */
  readonly unchangedBelow: Lsn | undefined;
  /** Compare checksums; only where the cluster has data checksums switched on. */
  readonly verify: boolean;
  /**
   * Pages with an LSN from here on are not judged: they may be torn, since they are written while they are read, and
   * replay brings them back from a full-page image. The start LSN of the running backup. `undefined`: judge all.
   */
  readonly verifyBelow: Lsn | undefined;
  /**
   * No page can have an LSN from here on, as WAL is written first: one that has is damaged, such as one overwritten by
   * other data. Default 16 TiB of WAL behind `verifyBelow`.
   */
  readonly writtenBelow?: Lsn | undefined;
  /** Takes one value of {@link PAGE} for each page. */
  readonly states: Uint8Array;
}

/** How many pages of each kind there were. The rest has changed. */
export interface PageCounts {
  readonly unchanged: number;
  readonly zero: number;
  readonly damaged: number;
}

/** Judges pages of relations. Synchronous; one a thread. */
export interface PageInspector {
  /**
   * Memory of the inspector: pages read straight into it are judged where they lie, others are copied into it first.
   * A view of it is overwritten by an `inspect` of pages that lie elsewhere.
   */
  readonly memory: Buffer;
  /**
   * Judges whole pages of 8 KiB.
   * @throws {KeyframeError} INVALID_OPTION when `pages` is no multiple of a page, or `states` is too short.
   */
  inspect(pages: Uint8Array, question: PageQuestion): PageCounts;
  /** PostgreSQL's checksum of one page at that block of its relation, 1 to 65535. */
  checksum(page: Uint8Array, block: number): number;
}
