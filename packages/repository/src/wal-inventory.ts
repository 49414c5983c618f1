import { KeyframeError, type TimelineId } from '@keyframe/contracts';

/** Whole segments `first` to `last` of one timeline, as running numbers (LSN divided by the segment size). */
export interface SegmentRange {
  readonly first: bigint;
  readonly last: bigint;
}

/** Which WAL files an archive holds, at one moment. Built from names alone; small however long the archive is. */
export interface WalInventory {
  readonly segmentSizeBytes: number;
  /** Number of whole segments. */
  readonly segments: number;
  /** Timelines that have a whole segment, ascending. */
  readonly timelines: readonly TimelineId[];
  /** Timelines that have a history file, ascending. */
  readonly histories: readonly TimelineId[];
  /** Names of partial segments, sorted. */
  readonly partials: readonly string[];
  /** Names of backup history files, sorted. Not part of the text form. */
  readonly backupHistories: readonly string[];
  /** Contiguous ranges of whole segments, ascending. */
  ranges(timeline: TimelineId): readonly SegmentRange[];
  /** Whether the archive holds a file of that name: segment, history, partial or backup history. */
  has(name: string): boolean;
  /** One short line of `[0-9A-Za-z.:+,-]` for a command line; {@link parseWalInventory} reads it back. */
  toText(): string;
}

/** Reads the text form back. @throws {KeyframeError} INVALID_OPTION for anything else, a cut text included */
export function parseWalInventory(text: string): WalInventory {
  throw new KeyframeError('INTERNAL', `not there yet: ${text}`);
}
