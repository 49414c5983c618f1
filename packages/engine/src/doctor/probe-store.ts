import { randomUUID } from 'node:crypto';
import { type Abortable, hasCode, KeyframeError, type Store } from '@keyframe/contracts';
import { drain, textOf } from '@keyframe/contracts/streams';

/**
 * Proves that objects can be written, read back and removed, and whether a second writer is kept from replacing one.
 * @throws {KeyframeError} whatever the store raises; CORRUPT when it gives back other bytes
 */
export async function probeStore(store: Store, options: Abortable = {}): Promise<{ readonly createOnly: boolean }> {
  const key = `doctor/${randomUUID()}`;
  const content = `written by keyframe doctor, may be removed: ${key}\n`;
  await store.put(key, textOf(content), { ...options, ifAbsent: true });
  try {
    const back = await drain(await store.get(key, options));
    if (back.toString() !== content)
      throw new KeyframeError('CORRUPT', `the store gave back other bytes for ${key} than were written`, {
        hint: 'Check the storage itself before you rely on it, e.g. with `dmesg` and `fsck`.',
        details: { key },
      });
    return { createOnly: await refusesSecond(store, key, options) };
  } finally {
    await store.delete([key], options);
  }
}

async function refusesSecond(store: Store, key: string, options: Abortable): Promise<boolean> {
  if (store.capabilities.conditionalPut !== true) return false;
  try {
    await store.put(key, textOf('a second writer\n'), { ...options, ifAbsent: true });
    return false;
  } catch (error) {
    if (hasCode(error, 'ALREADY_EXISTS')) return true;
    throw error;
  }
}
