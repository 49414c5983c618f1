import type { Hold } from '@keyframe/engine';
import { formatTime } from './format.ts';

/** What a hold keeps, for people. */
export function heldThing({ label, from, to, wal }: Hold): string {
  if (label !== undefined) return wal ? `${label} and every moment after it` : `${label} as it was when it ended`;
  return `every moment from ${formatTime(from ?? '')} to ${formatTime(to ?? '')}`;
}

/** A hold in one line. */
export function describeHold(hold: Hold): string {
  const until = hold.until === undefined ? 'until it is removed' : `until ${formatTime(hold.until)}`;
  return `hold ${hold.id} keeps ${heldThing(hold)}, ${until} (${hold.reason})`;
}
