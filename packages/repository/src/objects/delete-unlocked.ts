import { type Abortable, hasCode, type Store } from '@keyframe/contracts';

/** Removes objects. False: locks keep some of them for now. */
export async function deleteUnlocked(store: Store, keys: readonly string[], options: Abortable): Promise<boolean> {
  try {
    await store.delete(keys, options);
    return true;
  } catch (error) {
    if (!hasCode(error, 'ACCESS_DENIED') || error.details['locked'] !== true) throw error;
    return false;
  }
}
