/** Stores what runs of archived segments tell. @packageDocumentation */
import { hasCode, type KeyframeError, type Lsn, type TimelineId } from '@keyframe/contracts';
import type { SegmentRange, WalIndexRef } from '@keyframe/repository';
import { encodeOutline, outlineOf } from '../log/outline.ts';
import { coveringRefs, missingRuns, within } from './coverage.ts';
import type { IndexWalOptions, IndexWalReport } from './index-wal.ts';
import { mergeIndex } from './merge-index.ts';
import { type IndexedPlace, refBefore, RunReader, type StateBefore } from './run-reader.ts';

/** Indexes run after run, and makes anew what turns out to be damaged on the way. */
export class Indexer {
  total = 0;
  readonly #place: IndexedPlace;
  readonly #options: IndexWalOptions;
  #refs: readonly WalIndexRef[];
  readonly #reader: RunReader;
  /** What was damaged; twice the same is not mended, so that a store that garbles all it is given ends this too. */
  readonly #damaged = new Set<string>();
  #segments = 0;
  #objects = 0;
  #storedBytes = 0;

  constructor(place: IndexedPlace, options: IndexWalOptions, refs: readonly WalIndexRef[]) {
    this.#place = place;
    this.#options = options;
    this.#refs = refs;
    this.#reader = new RunReader(place, {
      ...options,
      stateBefore: (timeline, start) => this.#stateBefore(timeline, start),
      onSegment: (name) => {
        this.#segments += 1;
        this.#options.onProgress?.({ segments: this.#segments, total: this.total, name });
      },
    });
  }

  get report(): IndexWalReport {
    const [segments, objects, storedBytes] = [this.#segments, this.#objects, this.#storedBytes];
    return { segments, objects, storedBytes, faults: this.#reader.faults };
  }

  /** Indexes consecutive segments, at most a group of them, into one object; into several where one is damaged or they tell much. */
  async run(timeline: TimelineId, { first, last }: SegmentRange): Promise<void> {
    const { segments, isWhole } = await this.#reader.read(timeline, { first, last });
    if (segments.length > 0) {
      const { archive, inventory } = this.#place;
      const { segmentSizeBytes } = inventory;
      const [blocks, state] = [this.#reader.takeBlocks(), this.#reader.state()];
      const outline = encodeOutline(outlineOf(segments));
      const content = { timeline, segmentSizeBytes, segments, blocks, state, outline };
      this.#count(await archive.index.add(content, this.#options));
    }
    const next = first + BigInt(segments.length) + (isWhole ? 0n : 1n);
    if (next <= last) await this.run(timeline, { first: next, last });
  }

  /** Puts small objects together. One that is damaged is made anew first. */
  async merge(timeline: TimelineId): Promise<void> {
    const { archive, inventory } = this.#place;
    const place = { timeline, segmentSizeBytes: inventory.segmentSizeBytes };
    for (;;)
      try {
        for (const ref of await mergeIndex(archive.index, this.#refs, place, this.#options)) this.#count(ref);
        return;
      } catch (error) {
        if (!hasCode(error, 'CORRUPT')) throw error;
        const ref = this.#refs.find(({ key }) => key === error.details['key']);
        if (ref === undefined || !(await this.mend(ref, error))) return;
      }
  }

  /** Makes a damaged object anew from the WAL that it tells of. False where it cannot be removed. */
  async mend(ref: WalIndexRef, fault: KeyframeError): Promise<boolean> {
    const { archive, inventory } = this.#place;
    const { timeline, startLsn, endLsn } = ref;
    if (this.#damaged.has(ref.key)) return false;
    this.#damaged.add(ref.key);
    this.#options.onDamage?.(fault, ref);
    this.#refs = this.#refs.filter(({ key }) => key !== ref.key);
    try {
      await archive.index.remove([ref], this.#options);
    } catch (error) {
      if (!hasCode(error, 'ACCESS_DENIED', 'UNSUPPORTED')) throw error;
      return false;
    }
    const { segmentSizeBytes } = inventory;
    const ranges = within(inventory.ranges(timeline), { from: startLsn, to: endLsn }, segmentSizeBytes);
    const runs = missingRuns(ranges, coveringRefs(this.#refs, timeline), segmentSizeBytes);
    for (const { first, last } of runs) this.total += Number(last - first) + 1;
    for (const run of runs) await this.run(timeline, run);
    return true;
  }

  async #stateBefore(timeline: TimelineId, start: Lsn): Promise<StateBefore | undefined> {
    for (;;) {
      const ref = refBefore(this.#refs, this.#place, timeline, start);
      if (ref === undefined) return undefined;
      try {
        const state = await (await this.#place.archive.index.open(ref, this.#options))?.state();
        return state && { ref, state };
      } catch (error) {
        if (!hasCode(error, 'CORRUPT')) throw error;
        if (!(await this.mend(ref, error))) return undefined;
      }
    }
  }

  #count(ref: WalIndexRef): void {
    this.#refs = [...this.#refs, ref];
    this.#objects += 1;
    this.#storedBytes += ref.sizeBytes;
  }
}
