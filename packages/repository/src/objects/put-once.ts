import { ByteCursor } from './byte-cursor.ts';
import { type ByteSource, type ByteStream, hasCode, KeyframeError, type Store } from '@keyframe/contracts';

/**
 * Creates an object that nobody may replace. True: it is there with these bytes. False: another object is there.
 * A store may keep an object and lose the answer. The next try is then refused: no fault if the bytes are ours.
 */
export async function createOnly(
  store: Store,
  key: string,
  source: ByteSource,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    if (store.capabilities.conditionalPut === true) await store.put(key, source, { ifAbsent: true, signal });
    else if ((await store.stat(key, { signal })) === undefined) await store.put(key, source, { signal });
    else return await holds(store, key, source, signal);
    return true;
  } catch (error) {
    if (!hasCode(error, 'ALREADY_EXISTS')) throw error;
  }
  return holds(store, key, source, signal);
}

/** {@link createOnly} for objects whose name nobody else can have taken. @throws {KeyframeError} CONFLICT */
export async function putOnce(
  store: Store,
  key: string,
  source: ByteSource,
  signal: AbortSignal | undefined,
): Promise<void> {
  if (await createOnly(store, key, source, signal)) return;
  throw new KeyframeError('CONFLICT', `the store holds another object ${key}`, {
    hint: 'Check that no second Keyframe writes to this repository, then run `keyframe backup` again.',
    details: { key },
  });
}

async function holds(store: Store, key: string, source: ByteSource, signal: AbortSignal | undefined): Promise<boolean> {
  try {
    return await sameBytes(await store.get(key, { signal }), source.open());
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return false; // removed since; whoever had it was not us
    throw error;
  }
}

/** Compares two streams whatever their chunks are. */
async function sameBytes(one: ByteStream, other: ByteStream): Promise<boolean> {
  const theirs = new ByteCursor(other, '');
  try {
    for await (const ours of one) if (Buffer.compare(ours, await theirs.upTo(ours.length)) !== 0) return false;
    return (await theirs.upTo(1)).length === 0;
  } finally {
    await theirs.close();
  }
}
