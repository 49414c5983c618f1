import { expect, it } from 'vitest';
import { CALENDAR } from './policy.ts';

const period = (name: string, time: string): string | undefined =>
  CALENDAR.find((rule) => rule.name === name)?.period(time);

it.each([
  ['2026-01-01T00:00:00Z', '2026-W01'],
  ['2027-01-01T12:00:00.123456Z', '2026-W53'],
  ['2024-12-30T23:59:59Z', '2025-W01'],
  ['2026-11-24T10:00:00Z', '2026-W48'],
  ['2026-11-29T23:59:59Z', '2026-W48'],
  ['2026-11-30T00:00:00Z', '2026-W49'],
])('%s lies in week %s of ISO 8601', (time, week) => {
  expect(period('weekly', time)).toBe(week);
});

it('days, months and years are those of UTC', () => {
  const time = '2026-11-24T23:59:59.999999Z';
  expect(['daily', 'monthly', 'yearly'].map((name) => period(name, time))).toEqual(['2026-11-24', '2026-11', '2026']);
});
