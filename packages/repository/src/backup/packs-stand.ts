import { KeyframeError, type Store } from '@keyframe/contracts';
import { type NamedPack, suspectPacks } from '../damage/suspect-packs.ts';

/**
 * A backup that names a pack which is gone, or damaged as somebody found out meanwhile, would be listed and could not be
 * restored: it is refused, while its files still are on the server.
 * @throws {KeyframeError} CONFLICT
 */
export async function assertPacksStand(
  store: Store,
  cluster: string,
  packs: readonly NamedPack[],
  signal: AbortSignal | undefined,
): Promise<void> {
  for (const [key, why] of await suspectPacks({ store, cluster }, packs, signal))
    throw new KeyframeError('CONFLICT', `the object ${key}, which this backup would build on, cannot be used: ${why}`, {
      hint: 'Run `keyframe verify` to learn what else is lost, then `keyframe backup` again: it stores anew what lay there.',
      details: { key },
    });
}
