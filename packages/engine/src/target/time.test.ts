import { hasCode, type KeyframeError } from '@keyframe/contracts';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { formatMicros, parseTargetTime, type TimeContext } from './time.ts';

const CONTEXT: TimeContext = { localZone: 'Europe/Berlin', now: () => new Date('2026-11-24T05:00:00.250Z') };

const utc = (text: string, context: Partial<TimeContext> = {}): string =>
  parseTargetTime(text, { ...CONTEXT, ...context }).utc;

function refusal(text: string, context: Partial<TimeContext> = {}): KeyframeError {
  try {
    parseTargetTime(text, { ...CONTEXT, ...context });
  } catch (error) {
    if (hasCode(error, 'INVALID_OPTION', 'TARGET_AMBIGUOUS')) return error;
    throw error;
  }
  throw new Error(`${text} was taken`);
}

/** The one instant, or the readings of a time that came twice. */
function readingsOf(read: () => bigint): (bigint | string)[] {
  try {
    return [read()];
  } catch (error) {
    if (!hasCode(error, 'TARGET_AMBIGUOUS')) throw error;
    const { first, second } = error.details;
    return [first, second].map((reading) => String(reading).slice(1, -1));
  }
}

describe('a target time', () => {
  it.each([
    ['2026-11-24 14:36:58.123456+01', '2026-11-24 13:36:58.123456+00'],
    ['2026-11-24T14:36:58Z', '2026-11-24 14:36:58+00'],
    ['2026-11-24t14:36:58z', '2026-11-24 14:36:58+00'],
    ['  2026-11-24   14:36 +00  ', '2026-11-24 14:36:00+00'],
    ['2026-11-24 14:36:58.5+00', '2026-11-24 14:36:58.500000+00'],
    ['2026-11-24 14:36:58.000001+00', '2026-11-24 14:36:58.000001+00'],
    ['2026-11-24 10:00+05:30', '2026-11-24 04:30:00+00'],
    ['2026-11-24 10:00+0545', '2026-11-24 04:15:00+00'],
    ['2026-11-24 20:00-0800', '2026-11-25 04:00:00+00'],
    ['2026-11-24 20:00-03:30', '2026-11-24 23:30:00+00'],
    ['1890-01-01 00:00+01:15:20', '1889-12-31 22:44:40+00'],
    ['2026-11-24 10:00 UTC', '2026-11-24 10:00:00+00'],
    ['2026-11-24 10:00 Europe/Berlin', '2026-11-24 09:00:00+00'],
    ['2026-07-24 10:00[Europe/Berlin]', '2026-07-24 08:00:00+00'],
    ['2026-07-24T10:00:00+02:00[Europe/Berlin]', '2026-07-24 08:00:00+00'],
    ['2026-07-24 10:00 america/new_york', '2026-07-24 14:00:00+00'],
    // both sides of the changes, and the second time round by its offset
    ['2026-03-29 01:59:59.999999 Europe/Berlin', '2026-03-29 00:59:59.999999+00'],
    ['2026-03-29 03:00 Europe/Berlin', '2026-03-29 01:00:00+00'],
    ['2026-10-25 01:59:59 Europe/Berlin', '2026-10-24 23:59:59+00'],
    ['2026-10-25 02:30+01[Europe/Berlin]', '2026-10-25 01:30:00+00'],
    ['2026-10-25 02:30+02[Europe/Berlin]', '2026-10-25 00:30:00+00'],
  ])('%s is %s', (text, expected) => {
    expect(utc(text)).toBe(expected);
  });

  it.each([
    ['10m ago', '2026-11-24 04:50:00.250000+00'],
    ['-10m', '2026-11-24 04:50:00.250000+00'],
    ['-1h30m', '2026-11-24 03:30:00.250000+00'],
    ['90 seconds ago', '2026-11-24 04:58:30.250000+00'],
    ['2 days 3 hours ago', '2026-11-22 02:00:00.250000+00'],
  ])('%s counts back from now', (text, expected) => {
    expect(utc(text)).toBe(expected);
  });

  it('keeps what was written, and the instant to the microsecond', () => {
    expect(parseTargetTime('2026-11-24 14:36:58.123456+01', CONTEXT)).toEqual({
      text: '2026-11-24 14:36:58.123456+01',
      micros: 1_795_527_418_123_456n,
      utc: '2026-11-24 13:36:58.123456+00',
    });
  });

  it.each([
    ['Asia/Kathmandu', '2026-11-24 04:15:00+00'],
    ['-08', '2026-11-24 18:00:00+00'],
    ['UTC', '2026-11-24 10:00:00+00'],
  ])('without an offset is meant in --time-zone %s', (timeZone, expected) => {
    expect(utc('2026-11-24 10:00', { timeZone })).toBe(expected);
    expect(utc('2026-11-24 10:00+00', { timeZone })).toBe('2026-11-24 10:00:00+00');
  });

  it('without an offset is refused with every reading, each ready to be pasted', () => {
    const error = refusal('2026-10-25 02:30:00.25');
    expect(error.code).toBe('TARGET_AMBIGUOUS');
    const readings = [
      '"2026-10-25 02:30:00.250000+00"',
      '"2026-10-25 02:30:00.250000+02"',
      '"2026-10-25 02:30:00.250000+01"',
    ];
    expect(Object.values(error.details)).toEqual(readings);
    for (const reading of readings) expect(error.hint).toContain(`--time ${reading}`);
    expect(readings.map((reading) => utc(reading.slice(1, -1)))).toEqual([
      '2026-10-25 02:30:00.250000+00',
      '2026-10-25 00:30:00.250000+00',
      '2026-10-25 01:30:00.250000+00',
    ]);
    expect(Object.values(refusal('2026-10-25 02:30', { localZone: undefined }).details)).toHaveLength(1);
  });

  it('that came twice is refused with both instants', () => {
    const error = refusal('2026-10-25 02:30 Europe/Berlin');
    expect(error).toMatchObject({
      code: 'TARGET_AMBIGUOUS',
      details: { first: '"2026-10-25 02:30:00+02"', second: '"2026-10-25 02:30:00+01"' },
    });
  });

  it('that never came is refused with its neighbours', () => {
    const error = refusal('2026-03-29 02:30:00.000001', { timeZone: 'Europe/Berlin' });
    expect(error).toMatchObject({
      code: 'INVALID_OPTION',
      details: { before: '"2026-03-29 01:30:00.000001+01"', after: '"2026-03-29 03:30:00.000001+02"' },
    });
  });

  it.each([
    ['an abbreviation', '2026-11-24 10:00 EEST'],
    ['an abbreviation that is a zone too', '2026-11-24 10:00 EST'],
    ['an unknown zone', '2026-11-24 10:00 Mars/Olympus'],
    ['an offset that the zone does not have', '2026-11-24 10:00+05[Europe/Berlin]'],
    ['an offset of a day', '2026-11-24 10:00+24'],
    ['half an offset', '2026-11-24 10:00+1'],
    ['seven digits', '2026-11-24 10:00:00.1234567Z'],
    ['February 30th', '2026-02-30 10:00Z'],
    ['month 13', '2026-13-01 10:00Z'],
    ['year 0', '0000-01-01 10:00Z'],
    ['hour 24', '2026-11-24 24:00Z'],
    ['second 60', '2026-11-24 10:00:60Z'],
    ['no time of day', '2026-11-24'],
    ['infinity', 'infinity'],
    ['the other infinity', '-Infinity'],
    ['a duration to come', '10m'],
    ['twice the past', '-10m ago'],
    ['a word', 'yesterday'],
    ['another order', '24.11.2026 10:00Z'],
    ['nothing', ''],
  ])('is not %s', (_, text) => {
    expect(refusal(text).code).toBe('INVALID_OPTION');
  });

  it('comes back the same from its form in UTC', () => {
    const instants = fc.bigInt({ min: -2_000_000_000_000_000n, max: 200_000_000_000_000_000n });
    fc.assert(
      fc.property(instants, (micros) => {
        expect(parseTargetTime(formatMicros(micros), CONTEXT).micros).toBe(micros);
      }),
    );
  });

  it('is read in any zone, or refused with readings of which one or two are that very instant', () => {
    const zones = ['Europe/Berlin', 'America/New_York', 'Australia/Lord_Howe', 'Asia/Kathmandu', 'Africa/Casablanca'];
    const instants = fc.bigInt({ min: 1_000_000_000_000_000n, max: 2_000_000_000_000_000n });
    fc.assert(
      fc.property(instants, fc.constantFrom(...zones), (micros, timeZone) => {
        const local = new Intl.DateTimeFormat('sv', { timeZone, dateStyle: 'short', timeStyle: 'medium' });
        const clock = `${local.format(new Date(Number(micros / 1000n)))}.${String(micros % 1_000_000n).padStart(6, '0')}`;
        const read = (text: string): bigint => parseTargetTime(text, { ...CONTEXT, timeZone }).micros;
        expect(
          readingsOf(() => read(clock)).map((reading) => (typeof reading === 'bigint' ? reading : read(reading))),
        ).toContain(micros);
      }),
      { numRuns: 300 },
    );
  });
});
