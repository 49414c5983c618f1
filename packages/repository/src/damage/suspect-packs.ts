/** Which packs must not be built on. @packageDocumentation */
import type { Store } from '@keyframe/contracts';
import { FOOTER_BYTES, TABLE_ENTRY_BYTES } from '../format/container-tail.ts';
import { archivePrefix, packName } from '../keys.ts';
import { KnownDamage } from './known-damage.ts';

/** A pack as whoever names it knows it. */
export interface NamedPack {
  readonly epoch: number;
  readonly label: string;
  readonly number: number;
  readonly tableOffset: number;
  readonly frames: number;
}

/** More labels than these are not worth a listing each. */
const LISTED_ONE_BY_ONE = 8;

/**
 * The keys of those packs that a verification found wrong, that are gone, or that are shorter than they were, with the
 * reason. A few listings; no pack is read.
 */
export async function suspectPacks(
  { store, cluster }: { readonly store: Store; readonly cluster: string },
  packs: readonly NamedPack[],
  signal: AbortSignal | undefined,
): Promise<ReadonlyMap<string, string>> {
  const suspects = new Map<string, string>();
  if (packs.length === 0) return suspects;
  const known = await new KnownDamage(store, cluster).read({ signal });
  /** Least sizes of the packs that are wanted, by key. */
  const wanted = new Map<string, number>();
  const labels = new Map<string, Set<string>>();
  for (const { epoch, label, number, tableOffset, frames } of packs) {
    const backups = `${archivePrefix(cluster, epoch)}backups/`;
    labels.set(backups, (labels.get(backups) ?? new Set()).add(`${backups}${label}/`));
    const key = `${backups}${label}/${packName(number)}`;
    wanted.set(key, tableOffset + frames * TABLE_ENTRY_BYTES + FOOTER_BYTES);
    const damage = known.get(key);
    if (damage !== undefined) suspects.set(key, `a verification on ${damage.foundAt} found: ${damage.what}`);
  }
  const list = async (prefix: string): Promise<void> => {
    for await (const { key, sizeBytes } of store.list(prefix, { signal })) {
      if (sizeBytes < (wanted.get(key) ?? 0)) suspects.set(key, 'it is too short');
      wanted.delete(key);
    }
  };
  for (const [backups, prefixes] of labels)
    // A thousand objects come in one request; of many labels all are listed at once.
    if (prefixes.size > LISTED_ONE_BY_ONE) await list(backups);
    else await Promise.all([...prefixes].map(list));
  for (const key of wanted.keys()) suspects.set(key, 'it is missing');
  return suspects;
}
