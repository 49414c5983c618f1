import { hasCode, type Store } from '@keyframe/contracts';

/**
 * Reads something that proves itself. Where the object has several copies and the nearest is damaged, the others are tried;
 * the bad ones are told to the store, which mends them.
 * @throws {KeyframeError} CORRUPT when no copy is whole
 */
export async function withCopies<T>(store: Store, key: string, attempt: (copy: Store) => Promise<T>): Promise<T> {
  try {
    return await attempt(store);
  } catch (error) {
    if (store.copies === undefined || !hasCode(error, 'CORRUPT')) throw error;
    const bad: Store[] = [];
    for (const copy of store.copies.of(key)) {
      try {
        const result = await attempt(copy);
        for (const each of bad) store.copies.distrust(key, each);
        return result;
      } catch (fault) {
        if (hasCode(fault, 'CORRUPT')) bad.push(copy);
        else if (!hasCode(fault, 'NOT_FOUND', 'UNAVAILABLE', 'ACCESS_DENIED', 'REPOSITORY_MISSING', 'CONFLICT'))
          throw fault;
      }
    }
    throw error;
  }
}
