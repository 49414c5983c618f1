import { type Abortable, KeyframeError } from '@keyframe/contracts';
import type { ClusterHistory, Hold } from '@keyframe/repository';
import { findBackup } from '../catalogue.ts';
import { isActive } from './keep.ts';

/** What is to be held: a backup, or every moment of a range. */
export type HoldRequest = Omit<Hold, 'id' | 'addedAt'>;

/** A hold, and whether it still holds. */
export interface HoldView extends Hold {
  readonly active: boolean;
}

/**
 * Adds a hold.
 * @throws {KeyframeError} BACKUP_NOT_FOUND for a backup that is not there or expired, INVALID_OPTION, CONFLICT
 */
export async function addHold(
  { history, now }: { readonly history: ClusterHistory; readonly now: () => Date },
  request: HoldRequest,
  options: Abortable = {},
): Promise<Hold> {
  const { label, from, to, until } = request;
  if (from !== undefined && to !== undefined && Date.parse(to) < Date.parse(from))
    throw new KeyframeError('INVALID_OPTION', 'the range to be held ends before it begins', {
      hint: 'Give --from the earlier and --to the later time.',
    });
  if (until !== undefined && Date.parse(until) <= now().getTime())
    throw new KeyframeError('INVALID_OPTION', `the hold would have ended already: ${until} is past`, {
      hint: 'Give --until a later time or a duration, such as 90d.',
    });
  if (label !== undefined) await findBackup(history, label, options);
  const { holds } = await history.retention(options);
  const hold = await holds.add(request, options);
  try {
    // Asked again: an expiry that decided meanwhile has not seen the hold, one that decides now does.
    if (label !== undefined) await findBackup(history, label, options);
  } catch (error) {
    await holds.remove(hold.id, options);
    throw error;
  }
  return hold;
}

/** @throws {KeyframeError} NOT_FOUND */
export async function removeHold(
  { history }: { readonly history: ClusterHistory },
  id: number,
  options: Abortable = {},
): Promise<Hold> {
  return (await history.retention(options)).holds.remove(id, options);
}

/** All holds, also those that have ended. */
export async function listHolds(
  { history, now }: { readonly history: ClusterHistory; readonly now: () => Date },
  options: Abortable = {},
): Promise<HoldView[]> {
  const holds = await (await history.retention(options)).holds.list(options);
  return holds.map((hold): HoldView => Object.assign({ active: isActive(hold, now()) }, hold));
}
