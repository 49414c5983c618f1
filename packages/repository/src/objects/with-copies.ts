import { hasCode, type Store } from '@keyframe/contracts';
import { openSealedJson } from '../format/sealed-json.ts';
import { readRange, readSmall } from './read-range.ts';

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

/** The bytes of a sealed JSON object, from a copy whose seal holds. @throws {KeyframeError} CORRUPT, NOT_FOUND, REPOSITORY_FORMAT */
export async function readSealed(store: Store, key: string, signal: AbortSignal | undefined): Promise<Buffer> {
  return withCopies(store, key, async (copy) => {
    const bytes = await readSmall(copy, key, signal);
    openSealedJson(bytes, key);
    return bytes;
  });
}

/** A range of an object, from a copy in which it proves itself. @throws {KeyframeError} CORRUPT when no copy does */
export async function readProven(
  store: Store,
  key: string,
  range: { readonly start: number; readonly end: number },
  { verify, signal }: { readonly verify: (bytes: Buffer) => void; readonly signal: AbortSignal | undefined },
): Promise<Buffer> {
  return withCopies(store, key, async (copy) => {
    const bytes = await readRange(copy, key, range.start, range.end, signal);
    verify(bytes);
    return bytes;
  });
}
