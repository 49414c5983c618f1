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
import { contiguousEnd, type WalPartName } from './part-name.ts';

/** Whole segments `first` to `last` of one timeline, as running numbers (LSN divided by the segment size). */
export interface SegmentRange {
  readonly first: bigint;
  readonly last: bigint;
}

/** A segment that is there in parts: `endBytes` from its beginning without a gap. */
export interface StreamedSegment {
  readonly timeline: TimelineId;
  /** Running number (LSN divided by the segment size). */
  readonly number: bigint;
  readonly endBytes: number;
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
  /** Segments of which no whole one is there but parts that were streamed of them, ascending. */
  readonly streamed: readonly StreamedSegment[];
  /** Names of backup history files, sorted. Not part of the text form: recovery never asks for them. */
  readonly backupHistories: readonly string[];
  /** Contiguous ranges of whole segments, ascending. */
  ranges(timeline: TimelineId): readonly SegmentRange[];
  /** How many bytes of a segment are there in parts, without a gap from its beginning; 0 beside a whole one. */
  streamedBytes(timeline: TimelineId, number: bigint): number;
  /** Whether the archive holds a file of that name: segment, history, partial or backup history. */
  has(name: string): boolean;
  /**
   * One short line of `[0-9a-z.:+,-]` for a command line; {@link parseWalInventory} reads it back. With `streamed` it names
   * these in place of its own.
   */
  toText(streamed?: readonly StreamedSegment[]): string;
}

type Ranges = ReadonlyMap<TimelineId, readonly SegmentRange[]>;

/** The second one has streamed segments beside the rest, and is written only where there are some. */
const VERSIONS = ['v1', 'v2'] as const;

/** More segments than any log file number has: 4096 of 1 MiB. */
const SEGMENTS_PER_LOG = 4096;

/** Sums names up as they are listed, in a few bytes each. */
export class InventoryBuilder {
  /** A file from whose header the segment size can be read. */
  sample: string | undefined;
  readonly #places = { segment: new Map<TimelineId, number[]>(), partial: new Map<TimelineId, number[]>() };
  readonly #histories: TimelineId[] = [];
  readonly #backupHistories: string[] = [];
  readonly #parts = new Map<string, WalPartName[]>();

  addPart(part: WalPartName): void {
    this.sample ??= part.name;
    const parts = this.#parts.get(part.segment) ?? [];
    parts.push(part);
    this.#parts.set(part.segment, parts);
  }

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
    const segments = rangesOf(this.#places.segment, segmentSizeBytes);
    const contents = {
      segments,
      partials: rangesOf(this.#places.partial, segmentSizeBytes),
      histories: this.#histories,
      streamed: [...this.#parts.values()].flatMap((parts) => streamedOf(parts, segments, segmentSizeBytes)),
    };
    return new Inventory(segmentSizeBytes, contents, this.#backupHistories.toSorted());
  }
}

/** Reads the text form back. @throws {KeyframeError} INVALID_OPTION for anything else, a cut text included */
export function parseWalInventory(text: string): WalInventory {
  const body = text.slice(0, Math.max(0, text.lastIndexOf('.')));
  const [version, size = '', segments = '', histories = '', partials = '', streamed = '', ...more] = body.split('.');
  const known = VERSIONS.find((each) => each === version);
  const whole = text.slice(body.length + 1) === checksumOf(body) && more.length === 0;
  if (!whole || known === undefined || (known === 'v1') !== (streamed === '')) throw unreadable(text);
  const segmentSizeBytes = Number(size);
  try {
    assertSegmentSize(segmentSizeBytes);
    return new Inventory(
      segmentSizeBytes,
      {
        segments: parseRanges(segments),
        partials: parseRanges(partials),
        histories: itemsOf(histories).map((timeline) => Number.parseInt(timeline, 16)),
        streamed: itemsOf(streamed).map(parseStreamed),
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
  readonly streamed: readonly StreamedSegment[];
}

class Inventory implements WalInventory {
  readonly segmentSizeBytes: number;
  readonly segments: number;
  readonly timelines: readonly TimelineId[];
  readonly histories: readonly TimelineId[];
  readonly partials: readonly string[];
  readonly backupHistories: readonly string[];
  readonly streamed: readonly StreamedSegment[];
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
    this.streamed = contents.streamed.toSorted(
      (one, other) => one.timeline - other.timeline || Number(one.number - other.number),
    );
    this.segments = [...contents.segments.values()]
      .flat()
      .reduce((sum, { first, last }) => sum + Number(last - first) + 1, 0);
    this.#others = new Set([...this.partials, ...backupHistories]);
  }

  ranges(timeline: TimelineId): readonly SegmentRange[] {
    return this.#contents.segments.get(timeline) ?? [];
  }

  streamedBytes(timeline: TimelineId, number: bigint): number {
    const found = this.streamed.find((each) => each.timeline === timeline && each.number === number);
    return found?.endBytes ?? 0;
  }

  has(name: string): boolean {
    const file = parseWalFileName(name);
    if (file === undefined) return false;
    if (file.kind === 'history') return this.histories.includes(file.timeline);
    if (file.kind !== 'segment') return this.#others.has(name);
    const number = segmentNumberOf(file, this.segmentSizeBytes);
    return this.ranges(file.timeline).some(({ first, last }) => first <= number && number <= last);
  }

  toText(streamed: readonly StreamedSegment[] = this.streamed): string {
    const { segments, partials } = this.#contents;
    const histories = this.histories.map((timeline) => timeline.toString(16)).join(',');
    const files = [this.segmentSizeBytes, formatRanges(segments), histories, formatRanges(partials)];
    const parts = streamed.map(formatStreamed).join(',');
    const body = (parts === '' ? [VERSIONS[0], ...files] : [VERSIONS[1], ...files, parts]).join('.');
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

/** What the parts of one segment come to, unless it is there whole. */
function streamedOf(parts: readonly WalPartName[], segments: Ranges, segmentSizeBytes: number): StreamedSegment[] {
  const [part] = parts;
  if (part === undefined) return [];
  const { timeline, log, number: segment } = part;
  const number = segmentNumberOf({ log, segment }, segmentSizeBytes);
  if (segments.get(timeline)?.some(({ first, last }) => first <= number && number <= last) === true) return [];
  const endBytes = contiguousEnd(parts);
  return endBytes === 0 ? [] : [{ timeline, number, endBytes }];
}

/** `1:3+7f00`: timeline, number and bytes in hexadecimal. */
function formatStreamed({ timeline, number, endBytes }: StreamedSegment): string {
  return `${timeline.toString(16)}:${number.toString(16)}+${endBytes.toString(16)}`;
}

function parseStreamed(text: string): StreamedSegment {
  const [timeline = '', number = '', endBytes = ''] = text.split(/[:+]/u);
  return {
    timeline: Number.parseInt(timeline, 16),
    number: BigInt(`0x${number}`),
    endBytes: Number.parseInt(endBytes, 16),
  };
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

function itemsOf(list: string): readonly string[] {
  return list === '' ? [] : list.split(',');
}

function parseRanges(text: string): Ranges {
  return new Map(
    itemsOf(text).map((part) => {
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
