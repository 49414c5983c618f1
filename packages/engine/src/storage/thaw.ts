/** Packs of a backup that lie in an archive class, and bringing them back. @packageDocumentation */
import { type Abortable, counted, KeyframeError, type Store, type ThawSpeed } from '@keyframe/contracts';
import type { EpochArchive, BackupRecord } from '@keyframe/repository';
import type { StageOptions } from '../events.ts';
import { inTurns } from '../in-turns.ts';
import { pause } from '../pause.ts';

/** How long thawed copies stay, days: a restore of the largest database is done by then, and may be repeated. */
const THAWED_DAYS = 7;
const POLL_MS = 60_000;

type NamedStores = readonly { readonly name: string; readonly store: Store }[];

/** Packs that no store can give now, and the store that has them back soonest. */
export interface ArchivedPacks {
  readonly store: string;
  readonly storageClass: string;
  readonly packs: number;
  readonly bytes: number;
  /** Of them, thaws that were asked for and are not done. */
  readonly thawing: number;
  /** Hours until they can be read, at most, by speed. */
  readonly hours: Readonly<Partial<Record<ThawSpeed, number>>>;
  readonly keys: readonly string[];
}

interface ArchivedObject {
  readonly sizeBytes: number;
  readonly storageClass: string;
}

/** `undefined` when every pack of the backup can be read now. @throws {KeyframeError} UNAVAILABLE, ACCESS_DENIED, CORRUPT */
export async function archivedPacks(
  stores: NamedStores,
  { archive, backup }: { readonly archive: EpochArchive; readonly backup: BackupRecord },
  options: Abortable = {},
): Promise<ArchivedPacks | undefined> {
  // A store without such classes has everything at hand.
  if (stores.some(({ store }) => !store.tiers?.classes.some(({ archived }) => archived))) return undefined;
  const needed = new Set((await archive.backups.manifest(backup, options)).packs().map(({ key }) => key));
  const cold = new Map<string, ReadonlyMap<string, ArchivedObject>>();
  for (const { name, store } of stores) cold.set(name, await archivedIn(store, archive.cluster, needed, options));
  const [[first, ofFirst] = ['', new Map()], ...others] = cold;
  const keys = [...ofFirst.keys()].filter((key) => others.every(([, each]) => each.has(key)));
  if (keys.length === 0) return undefined;
  const name = soonest(stores, first);
  const store = stores.find((each) => each.name === name)?.store;
  const states = await inTurns(keys, async (key) => store?.tiers?.state(key, options));
  const ofStore = cold.get(name) ?? new Map<string, ArchivedObject>();
  const waiting = keys.filter((_, at) => states[at]?.readable !== true);
  const [coldest] = waiting.flatMap((key) => ofStore.get(key) ?? []);
  if (coldest === undefined) return undefined;
  const { storageClass } = coldest;
  return {
    store: name,
    storageClass,
    packs: waiting.length,
    bytes: waiting.reduce((sum, key) => sum + (ofStore.get(key)?.sizeBytes ?? 0), 0),
    thawing: states.filter((state) => state?.readable !== true && state?.thawing === true).length,
    hours: store?.tiers?.classes.find((each) => each.name === storageClass)?.thawHours ?? {},
    keys: waiting,
  };
}

/** By one listing, which tells the class of everything. */
async function archivedIn(
  store: Store,
  cluster: string,
  needed: ReadonlySet<string>,
  options: Abortable,
): Promise<Map<string, ArchivedObject>> {
  const archived = new Set(store.tiers?.classes.flatMap((each) => (each.archived ? [each.name] : [])));
  const found = new Map<string, ArchivedObject>();
  for await (const { key, sizeBytes, storageClass } of store.list(`clusters/${cluster}/`, options))
    if (storageClass !== undefined && archived.has(storageClass) && needed.has(key))
      found.set(key, { sizeBytes, storageClass });
  return found;
}

function soonest(stores: NamedStores, fallback: string): string {
  const hoursOf = ({ store }: NamedStores[number]): number =>
    Math.min(...(store.tiers?.classes ?? []).flatMap(({ thawHours }) => thawHours?.standard ?? []));
  return stores.toSorted((one, other) => hoursOf(one) - hoursOf(other))[0]?.name ?? fallback;
}

/** Why a restore cannot begin yet, and how it could. */
export function notThawed({ store, storageClass, packs, thawing, hours }: ArchivedPacks): KeyframeError {
  const waiting = thawing > 0 ? `; ${thawing} of them are being thawed` : '';
  return new KeyframeError(
    'ARCHIVED',
    `${counted(packs, 'pack')} of the backup lie in ${storageClass} of the store ${store} and cannot be read at once${waiting}`,
    {
      hint: `Add --thaw to ask for them and wait${hours.standard === undefined ? '' : `, up to ${hours.standard} hours`}; interrupted, the same command goes on waiting.`,
      details: { store, storageClass, packs },
    },
  );
}

/** Asks for every pack that is not being thawed, then waits until all can be read. @throws {KeyframeError} ACCESS_DENIED, UNAVAILABLE */
export async function thaw(
  stores: NamedStores,
  { store: name, keys, packs }: ArchivedPacks,
  speed: ThawSpeed,
  options: StageOptions & { readonly pollMs?: number | undefined },
): Promise<void> {
  const tiers = stores.find((each) => each.name === name)?.store.tiers;
  if (tiers === undefined) return;
  await inTurns(keys, async (key) => {
    const { readable, thawing } = await tiers.state(key, options);
    if (!readable && !thawing) await tiers.thaw(key, { days: THAWED_DAYS, speed }, options);
  });
  for (let waiting = keys; ;) {
    const states = await inTurns(waiting, async (key) => tiers.state(key, options));
    waiting = waiting.filter((_, at) => states[at]?.readable !== true);
    if (waiting.length === 0) return;
    options.onEvent?.({
      kind: 'phase',
      phase: 'thaw',
      message: `waiting for the archive: ${packs - waiting.length} of ${packs} packs can be read`,
    });
    await pause(options.pollMs ?? POLL_MS, options.signal);
  }
}
