import { expect, it } from 'vitest';
import { readTime, readUntil } from './times.ts';

const NOW = new Date('2026-11-24T12:00:00Z');

it.each([
  ['2026-11-24', '2026-11-24T00:00:00.000Z'],
  ['2026-11-24 14:36:58+01', '2026-11-24T13:36:58.000Z'],
  ['2026-11-24T14:36:58Z', '2026-11-24T14:36:58.000Z'],
  ['2026-11-24 14:36:58.123456-0330', '2026-11-24T18:06:58.123Z'],
])('%s is %s', (text, iso) => {
  expect(readTime('--from', text)).toBe(iso);
});

it.each(['2026-11-24 14:36:58', 'yesterday', '24.11.2026', '2026-13-01', ''])(
  '%j could be any time, or is none',
  (text) => {
    expect(() => readTime('--from', text)).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }));
  },
);

it('an end is a time, or how long from now', () => {
  expect(readUntil('--until', '90d', NOW)).toBe('2027-02-22T12:00:00.000Z');
  expect(readUntil('--until', '2026-12-24', NOW)).toBe('2026-12-24T00:00:00.000Z');
});
