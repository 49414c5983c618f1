import type { Moment } from '../target/index.ts';
import type { PathSegment, WalPath } from './wal-path.ts';

/** The segments that PostgreSQL reads on its way to a moment. Where it stops before a record, it has read that one. */
export function walToRead(
  { segments }: Pick<WalPath, 'segments'>,
  { stops, stopsAt, record }: Pick<Moment, 'stops' | 'stopsAt' | 'record'>,
): readonly PathSegment[] {
  if (stops === 'at-end') return segments;
  const isRead = ({ start }: PathSegment): boolean =>
    stops === 'before' ? start <= (record ?? stopsAt) : start < stopsAt;
  return segments.filter(isRead);
}
