import type { Abortable } from '@keyframe/contracts';
import type { ClusterHistory, DamagedPack } from '@keyframe/repository';

/** Damage that a verification found and that stands, as it is shown. */
export interface KnownPackDamage extends Pick<DamagedPack, 'fault' | 'what' | 'foundAt' | 'backups'> {
  /** Key of the pack. */
  readonly pack: string;
}

/** What verifications found wrong of the packs of a cluster, and nobody has found right since; by key. */
export async function damagedBackups(history: ClusterHistory, options: Abortable = {}): Promise<KnownPackDamage[]> {
  const known = await (await history.damage(options)).read(options);
  return [...known]
    .map(([pack, { fault, what, foundAt, backups }]) => ({ pack, fault, what, foundAt, backups }))
    .toSorted((one, other) => (one.pack < other.pack ? -1 : 1));
}
