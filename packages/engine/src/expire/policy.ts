/** The rules by which backups and WAL are kept. A backup stays while one of them wants it. */
export interface RetentionPolicy {
  /** Every moment of this long a time can be recovered, milliseconds. */
  readonly windowMs?: number | undefined;
  /** The last so many backups, with every moment after the oldest of them. */
  readonly count?: number | undefined;
  /** The last backup of each of so many days (weeks, months, years; UTC) that have one, as it was when it ended. */
  readonly daily?: number | undefined;
  readonly weekly?: number | undefined;
  readonly monthly?: number | undefined;
  readonly yearly?: number | undefined;
  /** The last so many backups of the type full, with every moment after the oldest of them. */
  readonly minFull?: number | undefined;
  /** How long what is expired can be brought back before it is removed, milliseconds. */
  readonly graceMs: number;
  /** How long objects are locked after they were written, milliseconds: what cannot go stays and counts. Default: nothing is locked. */
  readonly lockedMs?: number | undefined;
  /** `all` keeps WAL after the backups of daily to yearly, too: every moment since the oldest of them. */
  readonly wal: 'window' | 'all';
}

/** How a rule by the calendar is named, and which period a time belongs to. */
export interface CalendarRule {
  readonly name: 'daily' | 'weekly' | 'monthly' | 'yearly';
  readonly period: (time: string) => string;
}

const DAY_MS = 86_400_000;

/** The week of ISO 8601, such as `2026-W48`: it belongs to the year of its Thursday. */
function weekOf(time: string): string {
  const day = new Date(`${time.slice(0, 10)}T00:00:00Z`);
  const thursday = new Date(day.getTime() + (4 - (day.getUTCDay() || 7)) * DAY_MS);
  const first = Date.UTC(thursday.getUTCFullYear(), 0, 1);
  const week = Math.floor((thursday.getTime() - first) / (7 * DAY_MS)) + 1;
  return `${thursday.getUTCFullYear()}-W${String(week).padStart(2, '0')}`;
}

/** Rules by the calendar, finest first. Times are ISO 8601 in UTC. */
export const CALENDAR: readonly CalendarRule[] = [
  { name: 'daily', period: (time) => time.slice(0, 10) },
  { name: 'weekly', period: weekOf },
  { name: 'monthly', period: (time) => time.slice(0, 7) },
  { name: 'yearly', period: (time) => time.slice(0, 4) },
];
