import type { Store } from '@keyframe/contracts';
import { deleteUnlocked } from '../objects/delete-unlocked.ts';
import type { EpochContext } from '../epoch-context.ts';

/** Whether a backup that was not finished stored so much that its packs are left for the next one. */
export function isResumable({ tuning }: Pick<EpochContext, 'tuning'>, storedBytes: number): boolean {
  return storedBytes >= tuning.resumableBytes;
}

/**
 * Removes an unpublished backup that stored little. Of one that stored much, other backups may have taken packs over: who
 * needs what is weighed by an expiry alone.
 */
export async function removeUnlessResumable(
  context: Pick<EpochContext, 'store' | 'tuning'>,
  prefix: string,
  signal: AbortSignal | undefined,
): Promise<'removed' | 'kept'> {
  let storedBytes = 0;
  for await (const { sizeBytes } of context.store.list(prefix, { signal })) storedBytes += sizeBytes;
  if (isResumable(context, storedBytes)) return 'kept';
  await removeBackup(context.store, prefix, signal);
  return 'removed';
}

/** Removes every object of an unpublished backup, its intent last: what is left is still known as unfinished. */
async function removeBackup(store: Store, prefix: string, signal: AbortSignal | undefined): Promise<void> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix, { signal })) keys.push(key);
  const intent = `${prefix}intent`;
  const others = keys.filter((key) => key !== intent);
  if (await deleteUnlocked(store, others, { signal })) await store.delete([intent], { signal });
}
