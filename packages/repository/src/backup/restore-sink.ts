import type { Abortable, KeyframeError } from '@keyframe/contracts';
import type { ManifestEntry } from './manifest.ts';

/** Takes the files of a backup. A promise means "wait"; several calls may be under way at once, for one file too. */
export interface RestoreSink {
  /** Every entry, in order, before any content. */
  entry(entry: ManifestEntry): void | Promise<void>;
  /** All entries have come. */
  announced?(): void | Promise<void>;
  /**
   * Fills `into` with what the target holds there already; false where it holds less. A sink that has this gets only what
   * the target lacks: content is left where its keyed hash proves it, and is then neither read from the store nor written.
   */
  read?(file: ManifestEntry, offsetBytes: number, into: Uint8Array): boolean | Promise<boolean>;
  /**
   * Path of a regular file that holds what {@link read} would give up to `endBytes`; undefined where there is less. A sink that
   * has this lets the reader compare large targets in threads of its own.
   */
  path?(file: ManifestEntry, endBytes: number): string | undefined;
  /** A range that stays as it is in the target. */
  kept?(file: ManifestEntry, offsetBytes: number, sizeBytes: number): void;
  /** A verified range of a file. Each range comes once, in no order. The view is valid until the promise settles. */
  write(file: ManifestEntry, offsetBytes: number, data: Uint8Array): void | Promise<void>;
  /** A range of zeros. Absent: comes by `write`. */
  zeros?(file: ManifestEntry, offsetBytes: number, sizeBytes: number): void | Promise<void>;
  /** Every byte of the file has been written. Also called for an empty file. */
  done(file: ManifestEntry): void | Promise<void>;
}

/** How a backup is read. */
export interface ReadOptions extends Abortable {
  /** Range reads under way at once. Default 4. */
  readonly concurrency?: number | undefined;
  /** Bytes of stored and decompressed content held at once. Default 64 MiB. */
  readonly memoryBudgetBytes?: number | undefined;
  /** Files to read; all entries are still announced. Default: all. */
  readonly only?: ((file: ManifestEntry) => boolean) | undefined;
}

/** What was read. */
export interface ReadReport {
  readonly files: number;
  readonly plainBytes: number;
  /** Of these, what the target held already. */
  readonly keptBytes: number;
  readonly storedBytes: number;
  /** Range reads of packs. */
  readonly requests: number;
  /** See {@link ManifestReader.damage}. */
  readonly damage: readonly KeyframeError[];
}
