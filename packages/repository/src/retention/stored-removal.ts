import { type Abortable, parseWalFileName, type Store } from '@keyframe/contracts';
import { archivePrefix, packName, walKey } from '../keys.ts';
import { deleteUnlocked } from '../objects/delete-unlocked.ts';
import { partKeyOf } from '../wal/streamed-wal.ts';
import type { Removal } from './survey.ts';

/** Keys in one request: what S3 takes at once. */
const BATCH = 1000;

/**
 * Removes objects in the order of safety. A backup stops counting before anything of it is missing, and its intent goes
 * last, so that what a killed run left is still known.
 */
export async function removeObjects(
  store: Store,
  cluster: string,
  { labels, packs, wal }: Removal,
  options: Abortable,
): Promise<void> {
  const of = (epoch: number, label: string): string => `${archivePrefix(cluster, epoch)}backups/${label}/`;
  const named = (name: string): string[] => labels.map(({ epoch, label }) => of(epoch, label) + name);
  await removeAll(store, named('backup.json'), options);
  await removeAll(store, named('manifest'), options);
  const packKeys = packs.map(({ epoch, label, number }) => of(epoch, label) + packName(number));
  await removeAll(store, packKeys, options);
  await removeAll(store, named('intent'), options);
  const walKeys = wal.flatMap(({ epoch, name }) => {
    const part = partKeyOf(name);
    if (part !== undefined) return [archivePrefix(cluster, epoch) + part];
    const file = parseWalFileName(name);
    // Histories are kept for ever: without them nobody knows which timelines were taken.
    return file === undefined || file.kind === 'history' ? [] : [archivePrefix(cluster, epoch) + walKey(file)];
  });
  await removeAll(store, walKeys, options);
}

/** What a lock keeps for now is found again by a later expiry. */
async function removeAll(store: Store, keys: readonly string[], options: Abortable): Promise<void> {
  for (let start = 0; start < keys.length; start += BATCH)
    await deleteUnlocked(store, keys.slice(start, start + BATCH), options);
}
