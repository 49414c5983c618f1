import { hasCode } from '@keyframe/contracts';
import { describe, expect, it } from 'vitest';
import { formatDuration, formatSize, parseDuration, parseSize } from './units.ts';

const fault = (call: () => unknown): unknown => {
  try {
    return call();
  } catch (error) {
    return error;
  }
};

describe('sizes', () => {
  it.each([
    ['0B', 0],
    ['16MiB', 16 * 1024 ** 2],
    ['64MB', 64 * 1024 ** 2],
    ['32kB', 32 * 1024],
    ['1 GiB', 1024 ** 3],
    ['2TB', 2 * 1024 ** 4],
  ])('%s is %i bytes', (text, bytes) => expect(parseSize(text)).toBe(bytes));

  it.each([
    '',
    '10',
    '16',
    'MiB',
    '-1MiB',
    '1.5GiB',
    '16 mib!',
    '1e3MB',
    ' 1MB',
    '99999999999TB',
    '0x10kB',
    '1constructor',
  ])('%j is refused', (text) =>
    expect(
      hasCode(
        fault(() => parseSize(text)),
        'INVALID_OPTION',
      ),
    ).toBe(true),
  );

  it('a unit in the wrong case is named rightly', () =>
    expect(fault(() => parseSize('16mib'))).toMatchObject({ hint: 'Write the unit as MiB: 16MiB.' }));

  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1536, '1.50 KiB'],
    [16 * 1024 ** 2, '16.0 MiB'],
    [123_456_789_012n, '115 GiB'],
  ])('%s bytes print as %s', (bytes, text) => expect(formatSize(bytes)).toBe(text));
});

describe('durations', () => {
  it.each([
    ['500ms', 500],
    ['60s', 60_000],
    ['5m', 300_000],
    ['5min', 300_000],
    ['2h', 7_200_000],
    ['35d', 35 * 86_400_000],
    ['1w', 604_800_000],
  ])('%s is %i ms', (text, ms) => expect(parseDuration(text)).toBe(ms));

  it.each(['5', '5 minutes', '-5m', '1d12h', 'm', '1.5h'])('%j is refused', (text) =>
    expect(
      hasCode(
        fault(() => parseDuration(text)),
        'INVALID_OPTION',
      ),
    ).toBe(true),
  );

  it.each([
    [7, '7 ms'],
    [4_230, '4.2 s'],
    [59_960, '1 min 00 s'],
    [185_000, '3 min 05 s'],
    [7_800_000, '2 h 10 min'],
    [273_600_000, '3 d 4 h'],
  ])('%i ms print as %s', (ms, text) => expect(formatDuration(ms)).toBe(text));
});
