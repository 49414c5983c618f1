import type { Abortable, Lsn, TimelineId } from '@keyframe/contracts';
import type { ChangedBlocks, LensState, SegmentIndex } from '@keyframe/wal';

/** An object of the index: consecutive segments of one timeline's files. */
export interface WalIndexRef {
  readonly key: string;
  readonly sizeBytes: number;
  readonly timeline: TimelineId;
  /** LSN of the first segment's first byte, and of the byte behind the last segment. */
  readonly startLsn: Lsn;
  readonly endLsn: Lsn;
}

/** With what indexing goes on behind an object. */
export interface WalIndexState {
  readonly lens: LensState;
  /** What the catalogue tracker wanted kept. */
  readonly tracker: Uint8Array | undefined;
}

/** What is to be stored. */
export interface WalIndexContent {
  readonly timeline: TimelineId;
  readonly segmentSizeBytes: number;
  /** Consecutive, at least one. */
  readonly segments: readonly SegmentIndex[];
  readonly blocks: readonly ChangedBlocks[];
  readonly state: WalIndexState | undefined;
  /** What a search must know of all these segments together to pass them over, as its reader writes it. */
  readonly outline?: Uint8Array | undefined;
}

/** What of a segment is known without its details. */
export type SegmentSummary = Omit<SegmentIndex, 'transactions' | 'folded' | 'facts' | 'notes'>;

/** An object whose summary was read. Its other parts are read, and proven, when they are asked for. */
export interface OpenedWalIndex {
  readonly timeline: TimelineId;
  readonly segmentSizeBytes: number;
  readonly segments: readonly SegmentSummary[];
  /** `undefined` where it was stored without one. */
  readonly outline: Uint8Array | undefined;
  /** Reads what {@link details} needs, so that it waits for nothing. @throws {KeyframeError} CORRUPT, NOT_FOUND: it is gone */
  load(): Promise<void>;
  /** All of them, or those for which `wants` is true; one after the other, since they may be large. */
  details(wants?: (summary: SegmentSummary) => boolean): AsyncIterable<SegmentIndex>;
  blocks(): Promise<ChangedBlocks[]>;
  state(): Promise<WalIndexState | undefined>;
}

/** Parts of objects of the index kept nearer than the store, as they are stored there. */
export interface WalIndexCache {
  /** Exactly these bytes of an object of that size. What comes back is proven again. */
  get(ref: WalIndexRef, start: number, end: number): Promise<Uint8Array | undefined>;
  set(ref: WalIndexRef, start: number, bytes: Uint8Array): Promise<void>;
}

/** What passes over the WAL of one epoch told, in objects that are only ever created. */
export interface WalIndex {
  /** By timeline, then by start, the longest first. */
  list(options?: Abortable): Promise<WalIndexRef[]>;
  /**
   * Reads an object; `undefined` when it is gone, since a larger one took its place.
   * @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT, KEY_REQUIRED, KEY_WRONG
   */
  open(
    ref: WalIndexRef,
    options?: Abortable & { readonly cache?: WalIndexCache | undefined },
  ): Promise<OpenedWalIndex | undefined>;
  /** Stores an object, unless one of these segments is there already. Durable when it returns. */
  add(content: WalIndexContent, options?: Abortable): Promise<WalIndexRef>;
  /** Removes objects that others took the place of, or whose WAL is gone. */
  remove(refs: readonly WalIndexRef[], options?: Abortable): Promise<void>;
}
