import { hasCode, type Store } from '@keyframe/contracts';
import { damaged } from './damage.ts';

const SMALL_LIMIT = 16 << 20;

/**
 * Fills `target` with the bytes from `start` on.
 * @throws {KeyframeError} CORRUPT when the object ends early or is gone
 */
export async function readInto(
  store: Store,
  key: string,
  start: number,
  target: Buffer,
  signal: AbortSignal | undefined,
): Promise<void> {
  const end = start + target.length;
  let at = 0;
  for await (const chunk of await open(store, key, start, end, signal)) {
    if (at + chunk.length > target.length) throw damaged(key, 'the store returned more than was asked for');
    target.set(chunk, at);
    at += chunk.length;
  }
  if (at < target.length) throw damaged(key, `it ends ${target.length - at} bytes early`);
}

/** {@link readInto} with a buffer of its own. */
export async function readRange(
  store: Store,
  key: string,
  start: number,
  end: number,
  signal: AbortSignal | undefined,
): Promise<Buffer> {
  const target = Buffer.allocUnsafe(end - start);
  await readInto(store, key, start, target, signal);
  return target;
}

/** Reads a small object whole, or a small part of one. @throws {KeyframeError} NOT_FOUND, CORRUPT */
export async function readSmall(
  store: Store,
  key: string,
  signal: AbortSignal | undefined,
  range?: { readonly start: number; readonly end: number },
): Promise<Buffer> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of await store.get(key, range === undefined ? { signal } : { signal, range })) {
    size += chunk.length;
    if (size > SMALL_LIMIT) throw damaged(key, 'it is far larger than such an object can be');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

async function open(store: Store, key: string, start: number, end: number, signal: AbortSignal | undefined) {
  if (start === end) return [];
  try {
    return await store.get(key, { range: { start, end }, signal });
  } catch (error) {
    // Only a record that was published leads here, so absence is loss.
    if (hasCode(error, 'NOT_FOUND')) throw damaged(key, 'it is missing', { cause: error });
    throw error;
  }
}
