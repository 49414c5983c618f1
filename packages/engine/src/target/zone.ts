import { KeyframeError } from '@keyframe/contracts';
import { Temporal } from 'temporal-polyfill';

const OFFSET = /^([+-])(\d{2})(?::?(\d{2}))?(?::?(\d{2}))?$/;

/** Seconds east of Greenwich of `Z`, `+01`, `+0530` or `-03:30`; `undefined` for anything else. PostgreSQL allows less than 16 hours. */
export function offsetSeconds(text: string): number | undefined {
  if (/^z$/i.test(text)) return 0;
  const match = OFFSET.exec(text);
  if (match === null) return undefined;
  const [hours = 0, minutes = 0, seconds = 0] = match.slice(2).map((digits) => Number(digits ?? 0));
  if (hours > 15 || minutes > 59 || seconds > 59) return undefined;
  return (match[1] === '-' ? -1 : 1) * (hours * 3600 + minutes * 60 + seconds);
}

/**
 * The IANA zone of that name.
 * @throws {KeyframeError} INVALID_OPTION for an abbreviation or an unknown name
 */
export function zoneName(text: string): string {
  const name = text.trim();
  // EST and a few others are IANA names too, but of zones without summer time, which is not what people mean by them.
  if (/^[A-Z0-9]{2,6}$/.test(name) && name !== 'UTC' && name !== 'GMT')
    throw new KeyframeError('INVALID_OPTION', `${name} is an abbreviation, and abbreviations stand for several zones`, {
      hint: 'Write the offset, such as +02, or the zone by region and city, such as --time-zone Europe/Helsinki.',
    });
  try {
    return new Temporal.ZonedDateTime(0n, name).timeZoneId;
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw new KeyframeError('INVALID_OPTION', `there is no time zone ${JSON.stringify(name)}`, {
      hint: 'Write the offset, such as +02, or a zone by region and city, such as --time-zone America/New_York.',
      cause,
    });
  }
}

const UNITS: Readonly<Record<string, bigint>> = { s: 1n, m: 60n, h: 3600n, d: 86_400n };
const PART = String.raw`(\d{1,9})\s*(s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)`;
const DURATION = new RegExp(String.raw`^(-?)((?:${PART}\s*)+)(ago)?$`, 'i');

/** Microseconds of `10m ago`, `-1h30m` or `2 days ago`; a day is 24 hours. `undefined` for anything else. */
export function readDuration(text: string): bigint | undefined {
  const match = DURATION.exec(text);
  if (match === null || (match[1] === '-') === (match.at(-1) !== undefined)) return undefined;
  let seconds = 0n;
  for (const [, count = '0', unit = 's'] of (match[2] ?? '').matchAll(new RegExp(PART, 'gi')))
    seconds += BigInt(count) * (UNITS[unit.charAt(0).toLowerCase()] ?? 0n);
  return seconds * 1_000_000n;
}
