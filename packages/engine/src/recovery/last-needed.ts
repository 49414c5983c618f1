import type { RecoveryPlan } from './plan.ts';

/** The last segment that PostgreSQL reads: where it stops before a record, it has read that one. */
export function lastNeeded({ wal, moment }: Pick<RecoveryPlan, 'wal' | 'moment'>): string | undefined {
  return wal.segments.findLast(({ start }) => start <= moment.stopsAt)?.name;
}
