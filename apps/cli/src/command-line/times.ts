import { KeyframeError } from '@keyframe/contracts';
import { parseDuration } from '@keyframe/runtime/units';

const OFFSET = /(?:Z|[+-]\d{2}(?::?\d{2})?)$/u;
const DATE = /^\d{4}-\d{2}-\d{2}$/u;

/**
 * A time with its offset, or a date in UTC, as ISO 8601 in UTC.
 * @throws {KeyframeError} INVALID_OPTION; a time without offset could be anybody's
 */
export function readTime(flag: string, text: string, also = ''): string {
  const whole = DATE.test(text)
    ? `${text}T00:00:00Z`
    : text
        .trim()
        .replace(' ', 'T')
        .replace(/([+-]\d{2})$/u, '$1:00');
  const milliseconds = OFFSET.test(whole) ? Date.parse(whole) : Number.NaN;
  if (!Number.isNaN(milliseconds)) return new Date(milliseconds).toISOString();
  throw new KeyframeError('INVALID_OPTION', `${flag} cannot be ${JSON.stringify(text)}`, {
    hint: `Give ${flag} a time with its offset, such as "2026-11-24 14:36:58+01", or a date (UTC)${also}.`,
  });
}

/** A time as {@link readTime} takes it, or how long from now. */
export function readUntil(flag: string, text: string, now: Date): string {
  return /^\d+ ?[a-z]+$/iu.test(text)
    ? new Date(now.getTime() + parseDuration(text)).toISOString()
    : readTime(flag, text, ', or a duration such as 90d');
}
