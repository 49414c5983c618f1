/** Reads archived WAL once and stores what it tells. @packageDocumentation */
import type { Abortable, KeyframeError, Lsn, TimelineId } from '@keyframe/contracts';
import type { EpochArchive, WalIndexCache, WalIndexRef } from '@keyframe/repository';
import { readHistories } from '../archive/histories.ts';
import { coveringRefs, missingRuns, within } from './coverage.ts';
import { Indexer } from './indexer.ts';
import type { IndexedPlace, TrackerSource } from './run-reader.ts';

/** What is indexed, and how. */
export interface IndexWalOptions extends Abortable {
  /** Only this timeline. Default: all that are archived. */
  readonly timeline?: TimelineId | undefined;
  /** Only segments that hold WAL from here on, and before there. */
  readonly from?: Lsn | undefined;
  readonly to?: Lsn | undefined;
  readonly trackers?: TrackerSource | undefined;
  readonly cache?: WalIndexCache | undefined;
  /** So many transactions told by themselves are enough for one object. Default 100,000. */
  readonly mostTransactions?: number | undefined;
  /** Told of an object that turned out to be damaged, before it is made anew. */
  readonly onDamage?: ((fault: KeyframeError, ref: WalIndexRef) => void) | undefined;
  /** Called after each segment. */
  readonly onProgress?: ((done: IndexProgress) => void) | undefined;
}

/** How far it is. */
export interface IndexProgress {
  readonly segments: number;
  readonly total: number;
  /** Of the segment that was read last. */
  readonly name: string;
}

/** What was done. */
export interface IndexWalReport {
  /** Segments that were read. */
  readonly segments: number;
  /** Objects that were stored, those that took the place of smaller ones included. */
  readonly objects: number;
  readonly storedBytes: number;
  /** Segments in which something is wrong; those whose object is damaged will be tried again. */
  readonly faults: readonly { readonly name: string; readonly message: string }[];
}

/**
 * Indexes what is archived and not indexed yet. Stopped at any moment it goes on there the next time. What turns out to be
 * damaged on the way is made anew.
 * @throws {KeyframeError} KEY_REQUIRED, UNAVAILABLE, ACCESS_DENIED
 */
export async function indexWal(archive: EpochArchive, options: IndexWalOptions = {}): Promise<IndexWalReport> {
  const { place, refs } = await surveyIndex(archive, options);
  const { inventory } = place;
  const timelines = inventory.timelines.filter((each) => options.timeline === undefined || each === options.timeline);
  const work = timelines.map((timeline) => ({
    timeline,
    runs: missingRuns(
      within(inventory.ranges(timeline), options, inventory.segmentSizeBytes),
      coveringRefs(refs, timeline),
      inventory.segmentSizeBytes,
    ),
  }));
  const indexer = new Indexer(place, options, refs);
  indexer.total = work.flatMap(({ runs }) => runs).reduce((sum, { first, last }) => sum + Number(last - first) + 1, 0);
  for (const { timeline, runs } of work) {
    for (const run of runs) await indexer.run(timeline, run);
    await indexer.merge(timeline);
  }
  return indexer.report;
}

/**
 * Makes an object anew that could not be read. False where it cannot be removed.
 * @throws {KeyframeError} KEY_REQUIRED, UNAVAILABLE, ACCESS_DENIED
 */
export async function mendIndex(
  archive: EpochArchive,
  ref: WalIndexRef,
  fault: KeyframeError,
  options: IndexWalOptions,
): Promise<boolean> {
  const { place, refs } = await surveyIndex(archive, { ...options, timeline: ref.timeline });
  return new Indexer(place, options, refs).mend(ref, fault);
}

async function surveyIndex(
  archive: EpochArchive,
  options: IndexWalOptions,
): Promise<{ readonly place: IndexedPlace; readonly refs: readonly WalIndexRef[] }> {
  const refs = await archive.index.list(options);
  const inventory = await archive.wal.inventory(options);
  // A damaged history stands only in the way of its own timeline.
  const histories = await readHistories(archive, inventory, options, options.timeline);
  const backups =
    options.trackers === undefined ? [] : await archive.backups.list({ ...options, onDamage: () => undefined });
  return { place: { archive, inventory, histories, backups }, refs };
}
