/** Sizes and durations as text. A unit is mandatory: `10` could be anything. @packageDocumentation */
import { KeyframeError } from '@keyframe/contracts';

/** Powers of 1024 under both spellings, as in PostgreSQL's own settings (its `MB` is 1,048,576 bytes). */
const SIZE_UNITS: Readonly<Record<string, number>> = {
  B: 1,
  kB: 1024,
  KiB: 1024,
  MB: 1024 ** 2,
  MiB: 1024 ** 2,
  GB: 1024 ** 3,
  GiB: 1024 ** 3,
  TB: 1024 ** 4,
  TiB: 1024 ** 4,
};

const DURATION_UNITS: Readonly<Record<string, number>> = {
  ms: 1,
  s: 1000,
  m: 60_000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
  w: 604_800_000,
};

/** What a legal size looks like, for JSON Schema. */
export const SIZE_PATTERN: string = `^[0-9]+ ?(${Object.keys(SIZE_UNITS).join('|')})$`;
/** What a legal duration looks like, for JSON Schema. */
export const DURATION_PATTERN: string = `^[0-9]+ ?(${Object.keys(DURATION_UNITS).join('|')})$`;

function parse(text: string, units: Readonly<Record<string, number>>, what: string, examples: string): number {
  const match = /^([0-9]+) ?([A-Za-z]+)$/.exec(text);
  const unit = match?.[2] ?? '';
  const factor = Object.hasOwn(units, unit) ? units[unit] : undefined;
  const value = Number(match?.[1]) * (factor ?? Number.NaN);
  if (Number.isSafeInteger(value)) return value;
  const meant = Object.keys(units).find((known) => known.toLowerCase() === unit.toLowerCase());
  const hint =
    factor === undefined && meant !== undefined && match?.[1] !== undefined
      ? `Write the unit as ${meant}: ${match[1]}${meant}.`
      : `Write a whole number with a unit, such as ${examples} (units: ${Object.keys(units).join(', ')}).`;
  throw new KeyframeError('INVALID_OPTION', `${JSON.stringify(text)} is no ${what}`, { hint });
}

/**
 * Bytes of a text like `16MiB` or `64MB`.
 * @throws {KeyframeError} INVALID_OPTION
 */
export function parseSize(text: string): number {
  return parse(text, SIZE_UNITS, 'size', '16MiB or 2GB');
}

/**
 * Milliseconds of a text like `5min`, `5m` or `35d`.
 * @throws {KeyframeError} INVALID_OPTION
 */
export function parseDuration(text: string): number {
  return parse(text, DURATION_UNITS, 'duration', '30s, 5min or 35d');
}

/** `1.5 GiB`: binary units, three significant digits. */
export function formatSize(bytes: number | bigint): string {
  let value = Number(bytes);
  const names = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  let index = 0;
  while (value >= 1024 && index < names.length - 1) {
    value /= 1024;
    index += 1;
  }
  if (index === 0) return `${value} B`;
  return `${value >= 100 ? value.toFixed(0) : value >= 10 ? value.toFixed(1) : value.toFixed(2)} ${names[index] ?? ''}`;
}

/** `850 ms`, `4.2 s`, `3 min 05 s`, `2 h 10 min`, `3 d 4 h`. */
export function formatDuration(milliseconds: number): string {
  if (milliseconds < 1000) return `${Math.round(milliseconds)} ms`;
  if (milliseconds < 59_950) return `${(milliseconds / 1000).toFixed(1)} s`;
  const seconds = Math.round(milliseconds / 1000);
  const pad = (value: number): string => String(value).padStart(2, '0');
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${pad(seconds % 60)} s`;
  const minutes = Math.round(seconds / 60);
  if (minutes < 24 * 60) return `${Math.floor(minutes / 60)} h ${pad(minutes % 60)} min`;
  const hours = Math.round(minutes / 60);
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
