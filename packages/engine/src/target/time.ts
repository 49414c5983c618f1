/**
 * Recovery target times, exact to the microsecond. A time is taken only when it names one instant: with an offset, or
 * with a zone in which it exists once.
 * @see https://www.postgresql.org/docs/18/datatype-datetime.html
 * @packageDocumentation
 */
import { KeyframeError } from '@keyframe/contracts';
import { Temporal } from 'temporal-polyfill';
import { offsetSeconds, readDuration, zoneName } from './zone.ts';

/** One instant, as it was asked for. */
export interface TargetTime {
  /** What the user wrote. */
  readonly text: string;
  /** Microseconds since 1970-01-01 UTC. */
  readonly micros: bigint;
  /** The same for recovery_target_time: `2026-11-24 05:17:50.123456+00`. */
  readonly utc: string;
}

export interface TimeContext {
  /** Zone in which a time without offset is meant: an IANA name or an offset. Absent: such a time is refused. */
  readonly timeZone?: string | undefined;
  /** Zone of the machine, shown as one reading of a refused time. Never assumed. Default UTC. */
  readonly localZone?: string | undefined;
  /** What `10m ago` counts from. */
  readonly now: () => Date;
}

const EXAMPLES =
  'Write it like `--time "2026-11-24 14:36:58.123456+01"`, with the offset or a zone such as Europe/Berlin.';

const ABSOLUTE = /^(\d{4})-(\d{2})-(\d{2})(?:[Tt]|\s+)(\d{2}):(\d{2})(?::(\d{2})(?:[.,](\d+))?)?\s*(.*)$/;

/**
 * Reads a target time: ISO 8601 or PostgreSQL's form, with an offset (`Z`, `+01`, `+0530`, `-03:30`), a zone
 * (`Europe/Berlin`, `[Europe/Berlin]`) or both; or a time that has passed (`10m ago`, `-1h30m`).
 * @throws {KeyframeError} TARGET_AMBIGUOUS for a time that names no instant or two; INVALID_OPTION for no time at all
 */
export function parseTargetTime(text: string, context: TimeContext): TargetTime {
  const trimmed = text.trim();
  const ago = readDuration(trimmed);
  if (ago !== undefined) return targetTime(text, BigInt(context.now().getTime()) * 1000n - ago);
  const match = ABSOLUTE.exec(trimmed);
  if (match === null) throw refused(text, noTime(trimmed), EXAMPLES);
  const { local, micros } = readLocal(text, match);
  const zone = readZone(text, match[8] ?? '', context);
  if (zone === undefined) throw withoutZone(text, local, micros, context.localZone ?? 'UTC');
  return targetTime(text, inZone(text, local, micros, zone));
}

/** PostgreSQL's form in UTC, with all six digits of the fraction unless it is zero. */
export function formatMicros(micros: bigint): string {
  const seconds = micros / 1_000_000n - (micros % 1_000_000n < 0n ? 1n : 0n);
  const rest = micros - seconds * 1_000_000n;
  const clock = new Date(Number(seconds) * 1000).toISOString().slice(0, 19).replace('T', ' ');
  return `${clock}${rest === 0n ? '' : `.${String(rest).padStart(6, '0')}`}+00`;
}

const targetTime = (text: string, micros: bigint): TargetTime => ({ text, micros, utc: formatMicros(micros) });

const refused = (text: string, why: string, hint: string): KeyframeError =>
  new KeyframeError('INVALID_OPTION', `${JSON.stringify(text)} is no recovery target time: ${why}`, { hint });

function noTime(text: string): string {
  if (/^[+-]?infinity$/i.test(text)) return 'recovery cannot wait for infinity';
  if (/^\d{4}-\d{2}-\d{2}$/.test(text)) return 'it has no time of day';
  return 'it is neither ISO 8601 nor a duration such as "10m ago"';
}

/** Date and clock as written, and the part of a second that a clock of whole seconds leaves over. */
function readLocal(text: string, match: RegExpExecArray): { local: Temporal.PlainDateTime; micros: bigint } {
  const fraction = match[7] ?? '';
  if (fraction.length > 6)
    throw refused(text, 'PostgreSQL counts microseconds', 'Write at most six digits behind the second.');
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0] = match
    .slice(1, 7)
    .map((digits) => Number(digits ?? 0));
  if (year === 0) throw refused(text, 'there is no year 0', EXAMPLES);
  // Temporal reads a leap second as the second before it, PostgreSQL as the one after.
  if (second > 59) throw refused(text, `there is no second ${second}`, 'Write seconds from 00 to 59.');
  try {
    const local = Temporal.PlainDateTime.from({ year, month, day, hour, minute, second }, { overflow: 'reject' });
    return { local, micros: BigInt(fraction.padEnd(6, '0')) };
  } catch (cause) {
    if (!(cause instanceof RangeError)) throw cause;
    throw refused(
      text,
      'there is no such date or time of day',
      'Check the day of the month, and the hour from 00 to 23.',
    );
  }
}

/** An offset, a zone, or both. */
interface Zone {
  readonly offsetSeconds?: number | undefined;
  readonly name?: string | undefined;
}

const SUFFIX = /^(Z|z|[+-]\d{2}(?::?\d{2}){0,2})?\s*(?:\[([^\]]+)\]|([A-Za-z].*))?$/;

function readZone(text: string, suffix: string, context: TimeContext): Zone | undefined {
  const match = SUFFIX.exec(suffix);
  if (match === null) throw refused(text, `${JSON.stringify(suffix)} is no offset`, EXAMPLES);
  const offset = match[1] === undefined ? undefined : offsetSeconds(match[1]);
  if (match[1] !== undefined && offset === undefined) throw refused(text, `${match[1]} is no offset`, EXAMPLES);
  const name = match[2] ?? match[3];
  if (offset !== undefined || name !== undefined)
    return { offsetSeconds: offset, name: name === undefined ? undefined : zoneName(name) };
  const { timeZone } = context;
  if (timeZone === undefined) return undefined;
  const zoneOffset = offsetSeconds(timeZone);
  return zoneOffset === undefined ? { name: zoneName(timeZone) } : { offsetSeconds: zoneOffset };
}

const microsOf = (instant: { readonly epochMilliseconds: number }, micros: bigint): bigint =>
  BigInt(instant.epochMilliseconds) * 1000n + micros;

function inZone(text: string, local: Temporal.PlainDateTime, micros: bigint, zone: Zone): bigint {
  const utc = local.toZonedDateTime('UTC');
  const offset = zone.offsetSeconds;
  const byOffset = offset === undefined ? undefined : microsOf(utc, micros) - BigInt(offset) * 1_000_000n;
  if (zone.name === undefined) return byOffset ?? microsOf(utc, micros);
  const earlier = local.toZonedDateTime(zone.name, { disambiguation: 'earlier' });
  const later = local.toZonedDateTime(zone.name, { disambiguation: 'later' });
  const [first, second] = [microsOf(earlier, micros), microsOf(later, micros)];
  if (!earlier.toPlainDateTime().equals(local)) throw inGap(text, zone.name, earlier, later, micros);
  if (byOffset !== undefined) {
    if (byOffset === first || byOffset === second) return byOffset;
    throw refused(
      text,
      `${zone.name} has another offset then`,
      `Write ${quoted(first, earlier)}, or leave the zone away.`,
    );
  }
  if (first === second) return first;
  const [one, two] = [quoted(first, earlier), quoted(second, later)];
  throw new KeyframeError('TARGET_AMBIGUOUS', `the clocks in ${zone.name} showed ${JSON.stringify(text)} twice`, {
    hint: `Write --time ${one} for the first or --time ${two} for the second time round.`,
    details: { first: one, second: two },
  });
}

function inGap(
  text: string,
  zone: string,
  before: Temporal.ZonedDateTime,
  after: Temporal.ZonedDateTime,
  micros: bigint,
): KeyframeError {
  const [one, two] = [quoted(microsOf(before, micros), before), quoted(microsOf(after, micros), after)];
  return new KeyframeError(
    'INVALID_OPTION',
    `the clocks in ${zone} never showed ${JSON.stringify(text)}: they went forward`,
    {
      hint: `Write --time ${one} for before or --time ${two} for after the change.`,
      details: { before: one, after: two },
    },
  );
}

function withoutZone(text: string, local: Temporal.PlainDateTime, micros: bigint, localZone: string): KeyframeError {
  const readings = new Map<string, string>();
  const utc = local.toZonedDateTime('UTC');
  readings.set(quoted(microsOf(utc, micros), utc), 'UTC');
  for (const disambiguation of ['earlier', 'later'] as const) {
    const zoned = local.toZonedDateTime(localZone, { disambiguation });
    const reading = quoted(microsOf(zoned, micros), zoned);
    if (!readings.has(reading)) readings.set(reading, localZone);
  }
  const list = [...readings].map(([reading, zone]) => `--time ${reading} (${zone})`);
  return new KeyframeError('TARGET_AMBIGUOUS', `${JSON.stringify(text)} has no offset, so it names no instant`, {
    hint: `Write ${list.join(' or ')}, or name the zone with --time-zone.`,
    details: Object.fromEntries([...readings].map(([reading], index) => [`reading${index + 1}`, reading])),
  });
}

/** A reading as it can be pasted behind `--time`. */
function quoted(micros: bigint, zoned: Temporal.ZonedDateTime): string {
  const offset = BigInt(Math.round(zoned.offsetNanoseconds / 1000));
  const clock = formatMicros(micros + offset).slice(0, -3);
  return `"${clock}${zoned.offset.replace(/:00$/, '')}"`;
}
