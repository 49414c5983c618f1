/** `retention` of the config file. @packageDocumentation */
import type { RetentionPolicy } from '@keyframe/engine';
import { z } from 'zod';

/** How long what is kept, as the file says it. Durations in milliseconds. */
export interface RetentionConfiguration extends Omit<RetentionPolicy, 'windowMs' | 'graceMs'> {
  readonly window?: number | undefined;
  readonly grace: number;
}

type Duration = z.ZodType<number, string>;

const RULES = ['window', 'count', 'daily', 'weekly', 'monthly', 'yearly', 'minFull'] as const;

const count = (what: string): z.ZodOptional<z.ZodInt> =>
  z.int({ error: 'must be a whole number' }).min(1, { error: 'must be at least 1' }).optional().describe(what);

/** The schema; `duration` reads a duration that has that description. */
export function retentionSchema(duration: (description: string) => Duration): z.ZodType<RetentionConfiguration> {
  return z
    .strictObject({
      window: duration('Every moment of this long a time can be recovered, e.g. 35d.').optional(),
      count: count('The last so many backups stay, with every moment after the oldest of them.'),
      daily: count('The last backup of each of so many days (UTC) stays, as it was when it ended.'),
      weekly: count('The same by ISO week.'),
      monthly: count('The same by month.'),
      yearly: count('The same by year.'),
      minFull: count('The last so many full backups stay, with every moment after the oldest of them.'),
      grace: duration('How long what is expired can be brought back before it is removed. Default 24h.').prefault(
        '24h',
      ),
      wal: z
        .enum(['window', 'all'])
        .prefault('window')
        .describe('`all` keeps WAL after daily to yearly backups, too. Default: window.'),
    })
    .refine((rules) => RULES.some((rule) => rules[rule] !== undefined), {
      error: 'has no rule that keeps anything',
    });
}

/** The keys of `retention`. */
export const RETENTION_KEYS: readonly string[] = [...RULES, 'grace', 'wal'];
