/** Reads archived WAL once and stores what it tells. @packageDocumentation */
import { type Abortable, hasCode, type Lsn, lsn, type TimelineId } from '@keyframe/contracts';
import { timelineAt, type TimelineHistory } from '@keyframe/postgres';
import type {
  BackupRecord,
  EpochArchive,
  SegmentRange,
  WalIndexCache,
  WalIndexRef,
  WalIndexState,
  WalInventory,
} from '@keyframe/repository';
import {
  type CatalogueTracker,
  type ChangedBlocks,
  createWalLens,
  NO_LENS_STATE,
  type SegmentIndex,
  type WalLens,
} from '@keyframe/wal';
import { readHistories } from '../archive/histories.ts';
import { coveringRefs, missingRuns } from './coverage.ts';
import { mergeBlocks, mergeIndex } from './merge-index.ts';
import { ask, type ComingSegment, dismiss, readSegment } from './read-segment.ts';
import { trackerFrom } from './tracker-from.ts';

/** Where catalogue trackers come from; without one nothing has a name. */
export interface TrackerSource {
  /** One that stands at the start LSN of a backup. */
  begin(backup: BackupRecord): Promise<CatalogueTracker>;
  resume(snapshot: Uint8Array): CatalogueTracker;
}

/** What is indexed, and how. */
export interface IndexWalOptions extends Abortable {
  /** Only this timeline. Default: all that are archived. */
  readonly timeline?: TimelineId | undefined;
  /** Only segments that hold WAL from here on, and before there. */
  readonly from?: Lsn | undefined;
  readonly to?: Lsn | undefined;
  readonly trackers?: TrackerSource | undefined;
  readonly cache?: WalIndexCache | undefined;
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
 * Indexes what is archived and not indexed yet. Stopped at any moment it goes on there the next time.
 * @throws {KeyframeError} KEY_REQUIRED, UNAVAILABLE, ACCESS_DENIED
 */
export async function indexWal(archive: EpochArchive, options: IndexWalOptions = {}): Promise<IndexWalReport> {
  const refs = await archive.index.list(options);
  const inventory = await archive.wal.inventory(options);
  const histories = await readHistories(archive, inventory, options);
  const backups =
    options.trackers === undefined ? [] : await archive.backups.list({ ...options, onDamage: () => undefined });
  const timelines = inventory.timelines.filter((each) => options.timeline === undefined || each === options.timeline);
  const work = timelines.map((timeline) => ({
    timeline,
    runs: missingRuns(
      within(inventory.ranges(timeline), options, inventory.segmentSizeBytes),
      coveringRefs(refs, timeline),
      inventory.segmentSizeBytes,
    ),
  }));
  const indexer = new Indexer({ archive, inventory, histories, backups }, options, refs);
  indexer.total = work.flatMap(({ runs }) => runs).reduce((sum, { first, last }) => sum + Number(last - first) + 1, 0);
  for (const { timeline, runs } of work) {
    for (const run of runs) await indexer.run(timeline, run);
    await indexer.merge(timeline);
  }
  return indexer.report;
}

function within(
  ranges: readonly SegmentRange[],
  { from, to }: Pick<IndexWalOptions, 'from' | 'to'>,
  segmentSizeBytes: number,
): SegmentRange[] {
  const size = BigInt(segmentSizeBytes);
  const lowest = from === undefined ? 0n : from / size;
  const highest = to === undefined ? undefined : (to + size - 1n) / size - 1n;
  return ranges.flatMap(({ first, last }) => {
    const range = {
      first: first > lowest ? first : lowest,
      last: highest === undefined || last < highest ? last : highest,
    };
    return range.first <= range.last ? [range] : [];
  });
}

interface Place {
  readonly archive: EpochArchive;
  readonly inventory: WalInventory;
  readonly histories: ReadonlyMap<TimelineId, TimelineHistory>;
  readonly backups: readonly BackupRecord[];
}

class Indexer {
  total = 0;
  readonly #place: Place;
  readonly #options: IndexWalOptions;
  readonly #refs: WalIndexRef[];
  readonly #faults: { name: string; message: string }[] = [];
  #segments = 0;
  #objects = 0;
  #storedBytes = 0;
  /** Where the lens stands: the end of the last run, and on which timeline's files. */
  #at: { readonly timeline: TimelineId; readonly endLsn: Lsn } | undefined;
  #lens: WalLens | undefined;
  /** Pages that changed in this run, told by lenses before this one. */
  #blocks: ChangedBlocks[] = [];
  #tracker: CatalogueTracker | undefined;

  constructor(place: Place, options: IndexWalOptions, refs: readonly WalIndexRef[]) {
    this.#place = place;
    this.#options = options;
    this.#refs = [...refs];
  }

  get report(): IndexWalReport {
    const [segments, objects, storedBytes] = [this.#segments, this.#objects, this.#storedBytes];
    return { segments, objects, storedBytes, faults: this.#faults };
  }

  /** Indexes consecutive segments, at most a group of them, into one object. */
  async run(timeline: TimelineId, { first, last }: SegmentRange): Promise<void> {
    await this.#stand(timeline, first);
    const read: SegmentIndex[] = [];
    let next: ComingSegment | undefined = this.#ask(timeline, first);
    let isWhole = true;
    try {
      for (let number = first; number <= last && isWhole; number += 1n) {
        this.#options.signal?.throwIfAborted();
        const coming: ComingSegment = next ?? this.#ask(timeline, number);
        next = number < last ? this.#ask(timeline, number + 1n) : undefined;
        const index = await this.#read(timeline, number, coming);
        if (index === undefined) isWhole = false;
        else read.push(index);
        this.#segments += 1;
        const [done, total] = [this.#segments, this.total];
        this.#options.onProgress?.({ segments: done, total, name: coming.name });
      }
    } finally {
      await dismiss(next);
    }
    await this.#store(timeline, read, isWhole);
    const damaged = first + BigInt(read.length);
    if (!isWhole && damaged < last) await this.run(timeline, { first: damaged + 1n, last });
  }

  async merge(timeline: TimelineId): Promise<void> {
    const place = { timeline, segmentSizeBytes: this.#place.inventory.segmentSizeBytes };
    for (const ref of await mergeIndex(this.#place.archive.index, this.#refs, place, this.#options)) this.#count(ref);
  }

  #ask(timeline: TimelineId, number: bigint): ComingSegment {
    const { archive, inventory } = this.#place;
    return ask(archive, { timeline, number, segmentSizeBytes: inventory.segmentSizeBytes }, this.#options);
  }

  /** `undefined` for a segment whose object is damaged: what was taken in of it must not be gone on from. */
  async #read(timeline: TimelineId, number: bigint, coming: ComingSegment): Promise<SegmentIndex | undefined> {
    const { segmentSizeBytes } = this.#place.inventory;
    await this.#beginTracker(timeline, coming.start);
    this.#makeRoom(timeline, coming.start);
    const lens = (this.#lens ??= this.#newLens(timeline, undefined));
    try {
      const from = this.#from;
      this.#from = undefined;
      const index = await readSegment(lens, coming, { segmentSizeBytes, from });
      if (index.fault !== undefined) this.#faults.push({ name: coming.name, message: index.fault.message });
      return index;
    } catch (error) {
      if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT', 'WAL_INVALID')) throw error;
      this.#faults.push({ name: coming.name, message: error instanceof Error ? error.message : '' });
      return undefined;
    }
  }

  /** Where the first record begins that the next segment is read from. */
  #from: Lsn | undefined;

  async #store(timeline: TimelineId, segments: readonly SegmentIndex[], isWhole: boolean): Promise<void> {
    const lens = this.#lens;
    const last = segments.at(-1);
    if (lens === undefined || last === undefined) {
      if (!isWhole) this.#forget();
      return;
    }
    const state: WalIndexState | undefined = isWhole
      ? { lens: lens.state(), tracker: this.#tracker?.snapshot() }
      : undefined;
    const { archive, inventory } = this.#place;
    const { segmentSizeBytes } = inventory;
    const blocks = mergeBlocks([this.#blocks, lens.takeBlocks()]);
    this.#blocks = [];
    const content = { timeline, segmentSizeBytes, segments, blocks, state };
    this.#count(await archive.index.add(content, this.#options));
    if (isWhole) this.#at = { timeline, endLsn: last.endLsn };
    else this.#forget();
  }

  #count(ref: WalIndexRef): void {
    this.#refs.push(ref);
    this.#objects += 1;
    this.#storedBytes += ref.sizeBytes;
  }

  #forget(): void {
    this.#lens = undefined;
    this.#tracker = undefined;
    this.#at = undefined;
    this.#from = undefined;
  }

  /** Puts the lens before that segment, with all that is known from what comes before it. */
  async #stand(timeline: TimelineId, number: bigint): Promise<void> {
    const { segmentSizeBytes } = this.#place.inventory;
    const start = lsn(number * BigInt(segmentSizeBytes));
    if (this.#lens !== undefined && this.#at?.timeline === timeline && this.#at.endLsn === start) return;
    this.#forget();
    const before = this.#before(timeline, start);
    if (before === undefined) return;
    const state = await (await this.#place.archive.index.open(before, this.#options))?.state();
    if (state === undefined) return;
    this.#tracker = state.tracker && this.#options.trackers?.resume(state.tracker);
    // The history of a child says of its parent's WAL, too, whose it is.
    this.#lens = this.#newLens(timeline, state);
    this.#from = state.lens.position;
    // A record that crosses the boundary is read from its beginning.
    const position = state.lens.position ?? before.endLsn;
    const known = this.#faults.length;
    for (let at = position / BigInt(segmentSizeBytes); at < number; at += 1n)
      if ((await this.#read(before.timeline, at, this.#ask(before.timeline, at))) === undefined) return this.#forget();
    // Of those it was told when they were indexed.
    this.#faults.length = known;
    this.#lens?.takeBlocks();
  }

  /** The object that ends where the segment begins; at a fork of its parent, or the last one before it. */
  #before(timeline: TimelineId, start: Lsn): WalIndexRef | undefined {
    const own = this.#refs.find((ref) => ref.timeline === timeline && ref.endLsn === start);
    const history = this.#place.histories.get(timeline);
    if (own !== undefined || history === undefined || history.ancestors.length === 0) return own;
    const parent = start === 0n ? timeline : timelineAt(history, lsn(start - 1n));
    if (parent === timeline) return undefined;
    const { inventory } = this.#place;
    const size = BigInt(inventory.segmentSizeBytes);
    return this.#refs
      .filter((ref) => ref.timeline === parent && ref.endLsn <= start)
      .filter(({ endLsn }) =>
        inventory
          .ranges(parent)
          .some(({ first, last }) => endLsn === start || (first <= endLsn / size && start / size - 1n <= last)),
      )
      .toSorted((a, b) => Number(b.endLsn - a.endLsn))[0];
  }

  #newLens(timeline: TimelineId, state: WalIndexState | undefined): WalLens {
    const history = this.#place.histories.get(timeline);
    return createWalLens({
      segmentSizeBytes: this.#place.inventory.segmentSizeBytes,
      timelineOf: history === undefined ? undefined : (position) => timelineAt(history, position),
      tracker: this.#tracker,
      state: state?.lens ?? NO_LENS_STATE,
    });
  }

  /** A lens that has met very many relations is replaced, where no record crosses the boundary. */
  #makeRoom(timeline: TimelineId, start: Lsn): void {
    if (this.#lens?.isFull !== true) return;
    const lens = this.#lens.state();
    if (lens.position !== start) return;
    this.#blocks.push(...this.#lens.takeBlocks());
    this.#lens = this.#newLens(timeline, { lens, tracker: undefined });
    this.#from = start;
  }

  async #beginTracker(timeline: TimelineId, start: Lsn): Promise<void> {
    const { trackers } = this.#options;
    if (trackers === undefined || this.#tracker !== undefined) return;
    const end = start + BigInt(this.#place.inventory.segmentSizeBytes);
    const backup = this.#place.backups.find(
      (each) => each.timeline === timeline && each.startLsn >= start && each.startLsn < end,
    );
    if (backup === undefined) return;
    this.#tracker = trackerFrom(await trackers.begin(backup), backup.startLsn);
    this.#lens?.follow(this.#tracker);
  }
}
