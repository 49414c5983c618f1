import { crc32 } from 'node:zlib';
import {
  assertSegmentSize,
  hasCode,
  KeyframeError,
  parseWalFileName,
  segmentName,
  segmentNumberOf,
  type TimelineId,
  type WalFileName,
} from '@keyframe/contracts';

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
  /** Names of backup history files, sorted. Not part of the text form: recovery never asks for them. */
  readonly backupHistories: readonly string[];
  /** Contiguous ranges of whole segments, ascending. */
  ranges(timeline: TimelineId): readonly SegmentRange[];
  /** Whether the archive holds a file of that name: segment, history, partial or backup history. */
  has(name: string): boolean;
  /** One short line of `[0-9a-z.:+,-]` for a command line; {@link parseWalInventory} reads it back. */
  toText(): string;
}

type Ranges = ReadonlyMap<TimelineId, readonly SegmentRange[]>;

const VERSION = 'v1';

/** More segments than any log file number has: 4096 of 1 MiB. */
const SEGMENTS_PER_LOG = 4096;

/** Sums names up as they are listed, in a few bytes each. */
export class InventoryBuilder {
  /** A file from whose header the segment size can be read. */
  sample: string | undefined;
  readonly #places = { segment: new Map<TimelineId, number[]>(), partial: new Map<TimelineId, number[]>() };
  readonly #histories: TimelineId[] = [];
  readonly #backupHistories: string[] = [];

  add(name: WalFileName): void {
    if (name.kind === 'history') this.#histories.push(name.timeline);
    else if (name.kind === 'backup') this.#backupHistories.push(name.name);
    else {
      this.sample ??= name.name;
      const places = this.#places[name.kind].get(name.timeline) ?? [];
      places.push(name.log * SEGMENTS_PER_LOG + name.segment);
      this.#places[name.kind].set(name.timeline, places);
    }
  }

  finish(segmentSizeBytes: number): WalInventory {
    const contents = {
      segments: rangesOf(this.#places.segment, segmentSizeBytes),
      partials: rangesOf(this.#places.partial, segmentSizeBytes),
      histories: this.#histories,
    };
    return new Inventory(segmentSizeBytes, contents, this.#backupHistories.toSorted());
  }
}

/** Reads the text form back. @throws {KeyframeError} INVALID_OPTION for anything else, a cut text included */
export function parseWalInventory(text: string): WalInventory {
  const [version, size = '', segments = '', histories = '', partials = '', checksum, ...more] = text.split('.');
  const whole = checksum === checksumOf(text.slice(0, text.lastIndexOf('.')));
  if (version !== VERSION || !whole || more.length > 0) throw unreadable(text);
  const segmentSizeBytes = Number(size);
  try {
    assertSegmentSize(segmentSizeBytes);
    return new Inventory(
      segmentSizeBytes,
      {
        segments: parseRanges(segments),
        partials: parseRanges(partials),
        histories: histories === '' ? [] : histories.split(',').map((timeline) => Number.parseInt(timeline, 16)),
      },
      [],
    );
  } catch (error) {
    if (hasCode(error, 'INVALID_OPTION') || error instanceof SyntaxError) throw unreadable(text, error);
    throw error;
  }
}

interface Contents {
  readonly segments: Ranges;
  readonly partials: Ranges;
  readonly histories: readonly TimelineId[];
}

class Inventory implements WalInventory {
  readonly segmentSizeBytes: number;
  readonly segments: number;
  readonly timelines: readonly TimelineId[];
  readonly histories: readonly TimelineId[];
  readonly partials: readonly string[];
  readonly backupHistories: readonly string[];
  readonly #contents: Contents;
  readonly #others: ReadonlySet<string>;

  constructor(segmentSizeBytes: number, contents: Contents, backupHistories: readonly string[]) {
    this.segmentSizeBytes = segmentSizeBytes;
    this.#contents = contents;
    this.timelines = [...contents.segments.keys()].toSorted(ascending);
    this.histories = contents.histories.toSorted(ascending);
    this.partials = [...contents.partials]
      .flatMap(([timeline, ranges]) =>
        [...numbersOf(ranges)].map((number) => segmentName(timeline, number, segmentSizeBytes)),
      )
      .map((name) => `${name}.partial`)
      .toSorted();
    this.backupHistories = backupHistories;
    this.segments = [...contents.segments.values()]
      .flat()
      .reduce((sum, { first, last }) => sum + Number(last - first) + 1, 0);
    this.#others = new Set([...this.partials, ...backupHistories]);
  }

  ranges(timeline: TimelineId): readonly SegmentRange[] {
    return this.#contents.segments.get(timeline) ?? [];
  }

  has(name: string): boolean {
    const file = parseWalFileName(name);
    if (file === undefined) return false;
    if (file.kind === 'history') return this.histories.includes(file.timeline);
    if (file.kind !== 'segment') return this.#others.has(name);
    const number = segmentNumberOf(file, this.segmentSizeBytes);
    return this.ranges(file.timeline).some(({ first, last }) => first <= number && number <= last);
  }

  toText(): string {
    const { segments, partials } = this.#contents;
    const histories = this.histories.map((timeline) => timeline.toString(16)).join(',');
    const body = [VERSION, this.segmentSizeBytes, formatRanges(segments), histories, formatRanges(partials)].join('.');
    return `${body}.${checksumOf(body)}`;
  }
}

function rangesOf(places: ReadonlyMap<TimelineId, readonly number[]>, segmentSizeBytes: number): Ranges {
  const ranges = new Map<TimelineId, SegmentRange[]>();
  for (const [timeline, unsorted] of places) {
    const found: { first: bigint; last: bigint }[] = [];
    for (const place of Float64Array.from(unsorted).toSorted()) {
      const log = Math.floor(place / SEGMENTS_PER_LOG);
      const number = segmentNumberOf({ log, segment: place % SEGMENTS_PER_LOG }, segmentSizeBytes);
      const range = found.at(-1);
      if (range !== undefined && number <= range.last + 1n) range.last = number;
      else found.push({ first: number, last: number });
    }
    ranges.set(timeline, found);
  }
  return ranges;
}

function* numbersOf(ranges: readonly SegmentRange[]): Generator<bigint> {
  for (const { first, last } of ranges) for (let number = first; number <= last; number += 1n) yield number;
}

/** `1:3-10+12,2:12-30`: timelines and numbers in hexadecimal. */
function formatRanges(ranges: Ranges): string {
  return [...ranges]
    .toSorted(([one], [other]) => one - other)
    .map(([timeline, each]) => `${timeline.toString(16)}:${each.map(span).join('+')}`)
    .join(',');
}

function span({ first, last }: SegmentRange): string {
  return first === last ? first.toString(16) : `${first.toString(16)}-${last.toString(16)}`;
}

function parseRanges(text: string): Ranges {
  if (text === '') return new Map();
  return new Map(
    text.split(',').map((part) => {
      const [timeline = '', ranges = ''] = part.split(':');
      const parsed = ranges.split('+').map((range) => {
        const [first = '', last = first] = range.split('-');
        return { first: BigInt(`0x${first}`), last: BigInt(`0x${last}`) };
      });
      return [Number.parseInt(timeline, 16), parsed];
    }),
  );
}

function ascending(one: number, other: number): number {
  return one - other;
}

function checksumOf(text: string): string {
  return crc32(text).toString(16).padStart(8, '0');
}

function unreadable(text: string, cause?: unknown): KeyframeError {
  return new KeyframeError('INVALID_OPTION', 'the inventory of WAL files cannot be read', {
    cause,
    hint: 'Run `keyframe restore` again: it writes the inventory into `restore_command` itself.',
    details: { length: text.length },
  });
}
