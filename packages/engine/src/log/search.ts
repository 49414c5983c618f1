/** Searches the index: outlines first, then what may hold something, the newest first. @packageDocumentation */
import type { Lsn } from '@keyframe/contracts';
import type { SegmentIndex } from '@keyframe/wal';
import type { StageOptions } from '../events.ts';
import type { IndexedPart, PartOutline, ReadSegmentIndex } from '../lens/read-index.ts';
import { EntryReader } from './entries.ts';
import { type EntryFilter, entryFilter } from './filter.ts';
import { crossesRename, type HistoryRange, readHistoryOutlines, readHistoryParts, unfolded } from './history-range.ts';
import type { LogEntry } from './log-entry.ts';
import { decodeOutline, encodeOutline, type Outline, outlineOf } from './outline.ts';
import { outlineFilter } from './outline-filter.ts';
import type { LogRequest } from './read-log.ts';
import { unnamedFile } from './table-names.ts';
import { TrafficSum } from './traffic.ts';

/** A part of the history, and what is known of it before it is read. */
interface Surveyed {
  readonly part: IndexedPart;
  /** As it is stored: decoded it takes many times the room. */
  readonly outline: Uint8Array;
  readonly segments: number;
}

/** What was found. */
export interface Found {
  readonly entries: readonly LogEntry[];
  readonly omitted: number;
  readonly passedSegments: number;
}

/** One search. Its memory does not grow with what it looks at, but for one outline for each object. */
export class LogSearch {
  segments = 0;
  missing = 0;
  unnamedTables = 0;
  from: Lsn | undefined;
  to: Lsn | undefined;
  readonly #range: HistoryRange;
  readonly #request: LogRequest;
  readonly #options: StageOptions;
  readonly #wanted: EntryFilter;
  readonly #files = new Map<string, { readonly name: string; readonly database: string | undefined }>();
  readonly #traffic = new TrafficSum();
  #surveyed: Surveyed[] = [];

  constructor(range: HistoryRange, request: LogRequest, options: StageOptions) {
    this.#range = range;
    this.#request = request;
    this.#options = options;
    this.#wanted = entryFilter(request);
  }

  /** Reads all outlines. */
  async survey(): Promise<void> {
    const unnamed = new Set<string>();
    const missing = (segments: number): void => {
      this.missing += segments;
    };
    for await (const each of readHistoryOutlines(this.#range, this.#options, missing)) {
      const { part, summaries } = each;
      this.segments += summaries.length;
      this.from ??= summaries[0]?.startLsn;
      this.to = summaries.at(-1)?.endLsn ?? this.to;
      const [bytes, outline] = await this.#outlineOf(each);
      this.#surveyed.push({ part, outline: bytes, segments: summaries.length });
      this.#traffic.add(outline);
      for (const table of outline.tables) {
        if (summaries.length > 0 && unnamedFile(table.name) !== undefined) unnamed.add(table.name);
        for (const file of table.files) this.#files.set(file, { name: table.name, database: table.database });
      }
    }
    for (const name of unnamed) if (!this.#files.has(unnamedFile(name) ?? '')) this.unnamedTables += 1;
  }

  /** The newest entries that are wanted, at most `limit`. */
  async gather(limit: number): Promise<Found> {
    const mayHold = outlineFilter(this.#request, this.#files);
    const worth = this.#surveyed
      .filter(({ segments, outline }) => segments > 0 && mayHold(known(outline)))
      .toReversed();
    const found: LogEntry[][] = [];
    let [count, omitted] = [0, 0];
    let left = worth.reduce((sum, { segments }) => sum + segments, 0);
    const parts = worth.map(({ part }) => part);
    for await (const [part, told] of readHistoryParts(this.#range, parts, this.#options)) {
      const own = await this.#read(told, this.#readerBefore(part), limit);
      omitted += own.omitted;
      found.push(own.entries);
      count += own.entries.length;
      left -= worth.find((each) => each.part === part)?.segments ?? 0;
      if (count >= limit) break;
    }
    omitted += Math.max(0, count - limit);
    return { entries: found.toReversed().flat().slice(-limit), omitted, passedSegments: left };
  }

  /** An object that is put together anew, or was stored without one, is read for its outline. */
  async #outlineOf({ part, outline }: PartOutline): Promise<readonly [Uint8Array, Outline]> {
    const decoded = outline === undefined ? undefined : decodeOutline(outline);
    if (outline !== undefined && decoded !== undefined) return [outline, decoded];
    const segments: SegmentIndex[] = [];
    const whole = { ...this.#range, since: undefined, until: undefined };
    for await (const [, told] of readHistoryParts(whole, [part], this.#options))
      for await (const { index } of told) if (index !== undefined) segments.push(index);
    const made = outlineOf(segments);
    return [encodeOutline(made), made];
  }

  /** A reader that knows what one knows who has read everything before the part. Parts must come newest first. */
  #readerBefore(part: IndexedPart): EntryReader {
    for (let last = this.#surveyed.pop(); last !== undefined; last = this.#surveyed.pop()) {
      this.#traffic.takeBack(known(last.outline));
      if (last.part === part) break;
    }
    return new EntryReader({ files: this.#files, traffic: this.#traffic.copy() });
  }

  async #read(
    told: AsyncIterable<ReadSegmentIndex>,
    reader: EntryReader,
    limit: number,
  ): Promise<{ readonly entries: LogEntry[]; readonly omitted: number }> {
    let entries: LogEntry[] = [];
    let omitted = 0;
    for await (const { index } of told) {
      if (index === undefined) continue;
      const whole = mustUnfold(index, this.#request) ? await unfolded(this.#range, index, this.#options) : index;
      for (const entry of reader.read(whole)) {
        const named = reader.named(entry);
        if (this.#wanted(named)) entries.push(named);
      }
      if (entries.length <= 2 * limit) continue;
      omitted += entries.length - limit;
      entries = entries.slice(-limit);
    }
    return { entries, omitted };
  }
}

function known(bytes: Uint8Array): Outline {
  const outline = decodeOutline(bytes);
  if (outline === undefined) throw new TypeError('an outline that was read cannot be read again');
  return outline;
}

function mustUnfold(index: SegmentIndex, { each, xid, since, until }: LogRequest): boolean {
  if (each === true || crossesRename(index)) return true;
  return index.folded.some(({ lowestXid, highestXid, firstTimeMicros, lastTimeMicros }) => {
    if (xid !== undefined) return ((xid - lowestXid) | 0) >= 0 && ((highestXid - xid) | 0) >= 0;
    // Some of them may lie outside.
    const cuts = (time: bigint | undefined): boolean =>
      time !== undefined && firstTimeMicros < time && time <= lastTimeMicros;
    return cuts(since) || cuts(until);
  });
}
