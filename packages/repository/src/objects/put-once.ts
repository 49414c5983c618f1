import { type ByteSource, type ByteStream, hasCode, KeyframeError, type Store } from '@keyframe/contracts';

/**
 * Creates an object that nobody may replace. True: the object is there with these bytes. False: another object is there.
 * A store may keep an object and lose the answer; the next try is then refused, which is no fault as long as the bytes are ours.
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
    hint: 'Check that no second Keyframe writes to this repository under the same lease, then run `keyframe backup` again.',
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
  const rest = other[Symbol.asyncIterator]();
  try {
    let theirs: Uint8Array = new Uint8Array(0);
    for await (let ours of one) {
      while (ours.length > 0) {
        if (theirs.length === 0) {
          const next = await rest.next();
          if (next.done === true) return false;
          theirs = next.value;
        }
        const count = Math.min(ours.length, theirs.length);
        if (Buffer.compare(ours.subarray(0, count), theirs.subarray(0, count)) !== 0) return false;
        ours = ours.subarray(count);
        theirs = theirs.subarray(count);
      }
    }
    return theirs.length === 0 && (await rest.next()).done === true;
  } finally {
    await rest.return?.();
  }
}
