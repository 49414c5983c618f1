import { KeyframeError, type Store } from '@keyframe/contracts';
import { archivePrefix, packName } from '../keys.ts';
import type { PackName } from '../retention/tombstones.ts';

/**
 * A backup that names a pack which is gone would be listed and could not be restored: it is refused, while its files still
 * are on the server. One listing per backup that is named.
 * @throws {KeyframeError} CONFLICT
 */
export async function assertPacksStand(
  store: Store,
  cluster: string,
  packs: readonly PackName[],
  signal: AbortSignal | undefined,
): Promise<void> {
  const missing = new Map<string, Set<string>>();
  for (const { epoch, label, number } of packs) {
    const prefix = `${archivePrefix(cluster, epoch)}backups/${label}/`;
    missing.set(prefix, (missing.get(prefix) ?? new Set()).add(prefix + packName(number)));
  }
  for (const [prefix, keys] of missing) {
    for await (const { key } of store.list(prefix, { signal })) keys.delete(key);
    for (const key of keys)
      throw new KeyframeError('CONFLICT', `the object ${key}, which this backup would build on, is gone`, {
        hint: 'Run `keyframe verify` to learn what else is lost, then `keyframe backup --type full --no-reuse`.',
        details: { key },
      });
  }
}
