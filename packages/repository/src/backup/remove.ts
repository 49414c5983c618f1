import type { Store } from '@keyframe/contracts';

/** Removes every object of an unpublished backup, its intent last: what is left is still known as unfinished. */
export async function removeBackup(store: Store, prefix: string, signal: AbortSignal | undefined): Promise<void> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix, { signal })) keys.push(key);
  const intent = `${prefix}intent`;
  await store.delete(
    keys.filter((key) => key !== intent),
    { signal },
  );
  await store.delete([intent], { signal });
}
