/** Reads runs of archived segments with one lens. @packageDocumentation */
import { type Abortable, hasCode, type Lsn, lsn, type TimelineId } from '@keyframe/contracts';
import { timelineAt, type TimelineHistory } from '@keyframe/postgres';
import type {
  BackupRecord,
  EpochArchive,
  SegmentRange,
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
import { mergeBlocks } from './merge-index.ts';
import { ask, type ComingSegment, dismiss, readSegment } from './read-segment.ts';
import { trackerFrom } from './tracker-from.ts';

/** A few times 10 MiB. */
const MOST_TRANSACTIONS = 100_000;

/** Where catalogue trackers come from; without one nothing has a name. */
export interface TrackerSource {
  /** One that stands at the start LSN of a backup. */
  begin(backup: BackupRecord): Promise<CatalogueTracker>;
  resume(snapshot: Uint8Array): CatalogueTracker;
}

/** What is read, and all that is known of it. */
export interface IndexedPlace {
  readonly archive: EpochArchive;
  readonly inventory: WalInventory;
  readonly histories: ReadonlyMap<TimelineId, TimelineHistory>;
  readonly backups: readonly BackupRecord[];
}

/** How it is read. */
export interface RunOptions extends Abortable {
  readonly trackers?: TrackerSource | undefined;
  /** With what reading goes on behind an object; `undefined`: with nothing. */
  readonly stateBefore: (timeline: TimelineId, start: Lsn) => Promise<StateBefore | undefined>;
  /** So many transactions told by themselves end a run early, since all of it is in memory. */
  readonly mostTransactions?: number | undefined;
  /** Called after each segment with its name. */
  readonly onSegment: (name: string) => void;
}

/** The state that an object ends with. */
export interface StateBefore {
  readonly ref: WalIndexRef;
  readonly state: WalIndexState;
}

/** What was read of a run. */
export interface ReadRun {
  readonly segments: readonly SegmentIndex[];
  /** False: the segment behind these is damaged, and nothing is known of what comes behind it. */
  readonly isWhole: boolean;
}

/** Reads one run after the other; where one begins at the end of the one before it, all that was known is still known. */
export class RunReader {
  /** Segments in which something is wrong. */
  readonly faults: { name: string; message: string }[] = [];
  readonly #place: IndexedPlace;
  readonly #options: RunOptions;
  /** Where the lens stands: the end of the last run, and on which timeline's files. */
  #at: { readonly timeline: TimelineId; readonly endLsn: Lsn } | undefined;
  #lens: WalLens | undefined;
  /** Pages that changed in this run, told by lenses before this one. */
  #blocks: ChangedBlocks[] = [];
  #tracker: CatalogueTracker | undefined;
  /** Where the first record begins that the next segment is read from. */
  #from: Lsn | undefined;

  constructor(place: IndexedPlace, options: RunOptions) {
    this.#place = place;
    this.#options = options;
  }

  /** Reads consecutive segments, at least one if it can, maybe not all of them. Blocks and state are to be taken before the next run, or let go of. */
  async read(timeline: TimelineId, { first, last }: SegmentRange): Promise<ReadRun> {
    await this.#stand(timeline, first);
    const segments: SegmentIndex[] = [];
    let next: ComingSegment | undefined = this.#ask(timeline, first);
    let isWhole = true;
    let room = this.#options.mostTransactions ?? MOST_TRANSACTIONS;
    try {
      for (let number = first; number <= last && isWhole && room > 0; number += 1n) {
        this.#options.signal?.throwIfAborted();
        const coming: ComingSegment = next ?? this.#ask(timeline, number);
        next = number < last ? this.#ask(timeline, number + 1n) : undefined;
        const index = await this.#read(timeline, coming);
        if (index === undefined) isWhole = false;
        else segments.push(index);
        room -= index?.transactions.length ?? 0;
        this.#options.onSegment(coming.name);
      }
    } finally {
      await dismiss(next);
    }
    const end = segments.at(-1);
    // What a damaged segment was taken in of must not be gone on from, nor what an earlier run left.
    this.#at = isWhole && end !== undefined ? { timeline, endLsn: end.endLsn } : undefined;
    return { segments, isWhole };
  }

  /** The pages that changed since these were taken last. */
  takeBlocks(): ChangedBlocks[] {
    const blocks = mergeBlocks([this.#blocks, this.#lens?.takeBlocks() ?? []]);
    this.#blocks = [];
    return blocks;
  }

  /** With what to go on behind the last run, where that was whole. */
  state(): WalIndexState | undefined {
    if (this.#at === undefined || this.#lens === undefined) return undefined;
    return { lens: this.#lens.state(), tracker: this.#tracker?.snapshot() };
  }

  #forget(): void {
    this.#lens = undefined;
    this.#blocks = [];
    this.#tracker = undefined;
    this.#at = undefined;
    this.#from = undefined;
  }

  #ask(timeline: TimelineId, number: bigint): ComingSegment {
    const { archive, inventory } = this.#place;
    return ask(archive, { timeline, number, segmentSizeBytes: inventory.segmentSizeBytes }, this.#options);
  }

  /** `undefined` for a segment whose object is damaged. */
  async #read(timeline: TimelineId, coming: ComingSegment): Promise<SegmentIndex | undefined> {
    const { segmentSizeBytes } = this.#place.inventory;
    await this.#beginTracker(timeline, coming.start);
    this.#makeRoom(timeline, coming.start);
    const lens = (this.#lens ??= this.#newLens(timeline, undefined));
    try {
      const from = this.#from;
      this.#from = undefined;
      const index = await readSegment(lens, coming, { segmentSizeBytes, from });
      if (index.fault !== undefined) this.faults.push({ name: coming.name, message: index.fault.message });
      return index;
    } catch (error) {
      if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT', 'WAL_INVALID')) throw error;
      this.faults.push({ name: coming.name, message: error instanceof Error ? error.message : '' });
      return undefined;
    }
  }

  /** Puts the lens before that segment, with all that is known from what comes before it. */
  async #stand(timeline: TimelineId, number: bigint): Promise<void> {
    const { segmentSizeBytes } = this.#place.inventory;
    const start = lsn(number * BigInt(segmentSizeBytes));
    if (this.#lens !== undefined && this.#at?.timeline === timeline && this.#at.endLsn === start) return;
    const before = await this.#options.stateBefore(timeline, start);
    // Only now: to know it, runs before this one may have been read.
    this.#forget();
    if (before === undefined) return;
    const { ref, state } = before;
    this.#tracker = state.tracker && this.#options.trackers?.resume(state.tracker);
    // The history of a child says of its parent's WAL, too, whose it is.
    this.#lens = this.#newLens(timeline, state);
    this.#from = state.lens.position;
    // A record that crosses the boundary is read from its beginning.
    const position = state.lens.position ?? ref.endLsn;
    const known = this.faults.length;
    for (let at = position / BigInt(segmentSizeBytes); at < number; at += 1n)
      if ((await this.#read(ref.timeline, this.#ask(ref.timeline, at))) === undefined) return this.#forget();
    // Of those it was told when they were indexed.
    this.faults.length = known;
    this.#lens?.takeBlocks();
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

/** The object that ends where a segment begins; at a fork of its parent, or the last one before it. */
export function refBefore(
  refs: readonly WalIndexRef[],
  { histories, inventory }: Pick<IndexedPlace, 'histories' | 'inventory'>,
  timeline: TimelineId,
  start: Lsn,
): WalIndexRef | undefined {
  const own = refs.find((ref) => ref.timeline === timeline && ref.endLsn === start);
  const history = histories.get(timeline);
  if (own !== undefined || history === undefined || history.ancestors.length === 0) return own;
  const parent = start === 0n ? timeline : timelineAt(history, lsn(start - 1n));
  if (parent === timeline) return undefined;
  const size = BigInt(inventory.segmentSizeBytes);
  return refs
    .filter((ref) => ref.timeline === parent && ref.endLsn <= start)
    .filter(({ endLsn }) =>
      inventory
        .ranges(parent)
        .some(({ first, last }) => endLsn === start || (first <= endLsn / size && start / size - 1n <= last)),
    )
    .toSorted((a, b) => Number(b.endLsn - a.endLsn))[0];
}
