import { parseWalFileName, type TimelineId } from '@keyframe/contracts';

/** A streamed increment of a segment that is still being written: the bytes from `start` to before `end` of it. */
export interface WalPartName {
  /** `<segment>.parts/<start>-<end>`, as it lies beside whole segments. */
  readonly name: string;
  readonly segment: string;
  readonly timeline: TimelineId;
  readonly log: number;
  /** Number of the segment in its log file. */
  readonly number: number;
  readonly start: number;
  readonly end: number;
}

const PART = /^([0-9A-F]{24})\.parts\/([0-9A-F]{8})-([0-9A-F]{8})$/;

const hex8 = (value: number): string => value.toString(16).toUpperCase().padStart(8, '0');

/** Name of the part of a segment that holds the bytes from `start` to before `end`. */
export function walPartName(segment: string, start: number, end: number): string {
  return `${segment}.parts/${hex8(start)}-${hex8(end)}`;
}

/** Reads the name of a part; `undefined` for any other. */
export function parseWalPart(name: string): WalPartName | undefined {
  const [, segment = '', first = '', last = ''] = PART.exec(name) ?? [];
  const file = parseWalFileName(segment);
  const [start, end] = [Number.parseInt(first, 16), Number.parseInt(last, 16)];
  if (file?.kind !== 'segment' || !(start < end)) return undefined;
  return { name, segment, timeline: file.timeline, log: file.log, number: file.segment, start, end };
}

/** The part a key names; `undefined` for every other object. */
export function partOfKey(key: string): WalPartName | undefined {
  const [folder, range] = key.split('/').slice(-2);
  return folder === undefined || range === undefined ? undefined : parseWalPart(`${folder}/${range}`);
}

/** How far parts reach without a gap from the beginning of their segment. Parts of several writers may overlap. */
export function contiguousEnd(parts: Iterable<{ readonly start: number; readonly end: number }>): number {
  let end = 0;
  for (const part of [...parts].toSorted((one, other) => one.start - other.start)) {
    if (part.start > end) break;
    end = Math.max(end, part.end);
  }
  return end;
}
