import type { StorageClass, ThawSpeed, TiersFacet } from '@keyframe/contracts';
import type { Azure } from './azure.ts';
import { present } from './present.ts';

/** Rehydration: high priority under one hour for small objects, standard up to 15. */
const THAW_HOURS = { expedited: 1, standard: 15, bulk: 15 } as const;

const CLASSES: readonly StorageClass[] = [
  { name: 'Hot', archived: false, minimumDays: 0 },
  { name: 'Cool', archived: false, minimumDays: 30 },
  { name: 'Cold', archived: false, minimumDays: 90 },
  { name: 'Archive', archived: true, thawHours: THAW_HOURS, minimumDays: 180 },
];

const PRIORITY: Readonly<Record<ThawSpeed, string>> = { expedited: 'High', standard: 'Standard', bulk: 'Standard' };

/** Access tiers. A thawed object stays in the hot tier until a rule moves it again. */
export function tiersFacet(azure: Azure): TiersFacet {
  const state: TiersFacet['state'] = async (key, { signal } = {}) => {
    const head = await present(azure, key, signal);
    const storageClass = String(head['x-ms-access-tier'] ?? 'Hot');
    const thawing = head['x-ms-archive-status'] !== undefined;
    return { storageClass, readable: storageClass !== 'Archive', thawing };
  };
  const setTier = async (
    key: string,
    storageClass: string,
    priority: string | undefined,
    signal: AbortSignal | undefined,
  ): Promise<void> => {
    await azure.headers({
      method: 'PUT',
      key,
      query: { comp: 'tier' },
      headers: { 'x-ms-access-tier': storageClass, 'x-ms-rehydrate-priority': priority },
      signal,
    });
  };
  return {
    classes: CLASSES,
    state,
    move: (key, storageClass, { signal } = {}) => setTier(key, storageClass, undefined, signal),
    thaw: async (key, { speed }, { signal } = {}) => {
      const found = await state(key, { signal });
      if (found.readable || found.thawing) return;
      await setTier(key, 'Hot', PRIORITY[speed], signal);
    },
  };
}
