import { type Abortable, hasCode } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import type { NamedPack } from '../damage/suspect-packs.ts';
import type { EpochContext } from '../epoch-context.ts';
import { putOnce } from '../objects/put-once.ts';
import { type Publication, Tombstones } from '../retention/tombstones.ts';
import { assertPacksStand } from './packs-stand.ts';
import type { BackupRecord } from './record.ts';
import { encodeRecord } from './record-json.ts';

/**
 * Writes `backup.json`, with which a backup counts. `onTry`: from now on it may have happened.
 * @throws {KeyframeError} CONFLICT when an expiry took the backup, or a pack it needs, away meanwhile
 */
export async function publishRecord(
  { store, cluster, prefix, signatures }: EpochContext,
  record: BackupRecord,
  publication: Publication & { readonly packs: readonly NamedPack[] },
  { signal, onTry }: Abortable & { readonly onTry?: (() => void) | undefined },
): Promise<void> {
  const tombstones = new Tombstones(store, cluster);
  const others = publication.packs.filter(({ label }) => label !== record.label);
  // An expiry that is decided between the two is seen by the second look at the tombstones.
  await Promise.all([
    tombstones.assertPublishable(publication, { signal }),
    assertPacksStand(store, cluster, others, signal),
  ]);
  const key = `${prefix}backups/${record.label}/backup.json`;
  const seal = await signatures.sealer(key, { signal });
  onTry?.();
  await putOnce(store, key, bytesOf(encodeRecord(record, seal)), signal);
  try {
    await tombstones.assertPublishable(publication, { signal });
  } catch (error) {
    // An expiry decided while this process slept: what it takes away must not be listed.
    if (hasCode(error, 'CONFLICT')) await store.delete([key]);
    throw error;
  }
}
