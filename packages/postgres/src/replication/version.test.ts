import { expect, it } from 'vitest';
import { parseServerVersion } from './version.ts';

it.each([
  ['18.6', 180_006],
  ['14.23', 140_023],
  ['15.18 (Debian 15.18-0+deb12u1)', 150_018],
  ['19beta3', 190_000],
  ['', 0],
  ['unknown', 0],
])('reads the version %j', (text, expected) => {
  expect(parseServerVersion(text)).toBe(expected);
});
