/**
 * Brings a repository, a cluster or one backup with its WAL into another repository, under the keys of that one: decrypted
 * and encrypted anew frame by frame. Nothing but new objects is written, each is read back, and a backup comes last.
 * @packageDocumentation
 */
import { type Abortable, KeyframeError } from '@keyframe/contracts';
import type { BackupRecord } from '../backup/record.ts';
import { StoredManifest } from '../backup/stored-manifest.ts';
import type { EpochArchive } from '../cluster.ts';
import type { EpochContext } from '../epoch-context.ts';
import type { LeaseHolder, LeaseOptions } from '../lease.ts';
import type { CopyScope } from '../mirror/copy-repository.ts';
import type { Repository } from '../repository.ts';
import { Tombstones } from '../retention/tombstones.ts';
import { StoredCluster } from '../stored-cluster.ts';
import { hasCopy, translateBackup } from './translate-backup.ts';
import type { TranslationPlaces } from './translate-pack.ts';
import { translateWal, walOf } from './translate-wal.ts';

/** From where to where, and who does it. */
export interface TranslationContext {
  readonly from: Repository;
  readonly to: Repository;
  readonly holder: LeaseHolder;
  readonly isHolderAlive: NonNullable<LeaseOptions['isHolderAlive']>;
  /** Name and version of the program. */
  readonly tool: string;
}

/** What is to be done, and what it costs. */
export interface TranslationPlan {
  readonly epochs: readonly EpochPlan[];
  /** Backups and WAL files that the target lacks. */
  readonly backups: number;
  readonly walFiles: number;
  /** Stored bytes of what it lacks: so much is read, and about as much written and read back. */
  readonly bytes: number;
  /** Backups that the target has expired: they are not brought again. */
  readonly expired: number;
}

/** One epoch of one cluster. */
interface EpochPlan {
  readonly cluster: string;
  readonly archive: EpochArchive;
  readonly backups: readonly BackupRecord[];
  /** That are there already. */
  readonly copied: number;
  readonly needs: (wal: string) => boolean;
}

/** What was done. */
export interface TranslationReport {
  readonly repositoryId: string;
  readonly backups: number;
  readonly walFiles: number;
  readonly copied: number;
  readonly copiedBytes: number;
  readonly present: number;
  readonly expired: number;
}

/** How a copy is made. */
export interface TranslationOptions extends Abortable {
  readonly onProgress?: ((done: { readonly objects: number; readonly bytes: number }) => void) | undefined;
  readonly onBackup?: ((label: string) => void) | undefined;
}

const LEASE_MS = 60_000;
const isAnything = (): boolean => true;

/** Only reads. @throws {KeyframeError} CONFLICT, KEY_REQUIRED, KEY_WRONG, NOT_ENCRYPTED, CORRUPT */
export async function planTranslation(
  { from, to }: Pick<TranslationContext, 'from' | 'to'>,
  scope: CopyScope,
  options: Abortable = {},
): Promise<TranslationPlan> {
  const plan = { epochs: [] as EpochPlan[], backups: 0, walFiles: 0, bytes: 0, expired: 0 };
  const clusters = scope.cluster === undefined ? await from.clusters(options) : [scope.cluster];
  for (const cluster of clusters) {
    const source = storedCluster(from, cluster);
    const target = storedCluster(to, cluster);
    const known = new Set((await target.epochs(options)).map(({ number }) => number));
    for (const epoch of await source.epochs(options)) {
      const archive = await source.at(epoch.number, options);
      const isAsked = scope.backup === undefined || scope.backup.epoch === epoch.number;
      const needs = isAsked ? (scope.backup?.needs ?? isAnything) : () => false;
      const places = { from: await source.contextOf(epoch.number, options), signal: options.signal };
      const there = known.has(epoch.number) ? await target.contextOf(epoch.number, options) : undefined;
      const wanted = (await archive.backups.list(options)).filter(
        ({ label }) => isAsked && (scope.backup === undefined || scope.backup.label === label),
      );
      const chosen = await choose(places, there, wanted);
      plan.epochs.push({ cluster, archive, needs, ...chosen });
      plan.backups += chosen.backups.length;
      plan.expired += chosen.expired;
      plan.bytes += await bytesOf(places, there, chosen.backups);
      // Where the target has nothing of the epoch yet, its own context is the source's place with nothing in it.
      for await (const { sizeBytes, isThere } of walOf({ ...places, to: there ?? places.from }, needs)) {
        if (isThere && there !== undefined) continue;
        plan.walFiles += 1;
        plan.bytes += sizeBytes;
      }
    }
  }
  return plan;
}

type Half = Pick<TranslationPlaces, 'from' | 'signal'>;

async function choose(
  { from, signal }: Half,
  to: EpochContext | undefined,
  wanted: readonly BackupRecord[],
): Promise<Pick<EpochPlan, 'backups' | 'copied'> & { readonly expired: number }> {
  if (to === undefined) return { backups: wanted, copied: 0, expired: 0 };
  const isHidden = await new Tombstones(to.store, to.cluster).hidden(to.epoch.number, { signal });
  const backups: BackupRecord[] = [];
  let [copied, expired] = [0, 0];
  for (const record of wanted) {
    if (isHidden(record.label)) expired += 1;
    else if (await hasCopy({ from, to, signal }, record)) copied += 1;
    else backups.push(record);
  }
  return { backups, copied, expired };
}

/** Stored bytes of packs that are to be brought, each once. */
async function bytesOf(
  { from, signal }: Half,
  to: EpochContext | undefined,
  backups: readonly BackupRecord[],
): Promise<number> {
  const there = new Set<string>();
  for (const { label } of backups)
    if (to !== undefined)
      for await (const { key } of to.store.list(`${to.prefix}backups/${label}/`, { signal })) there.add(key);
  let bytes = 0;
  for (const record of backups)
    for (const { key, label } of (await StoredManifest.open(from, record, { signal })).packs()) {
      if (there.has(key)) continue;
      there.add(key);
      const isForeign = !backups.some((each) => each.label === label);
      if (isForeign && to !== undefined && (await to.store.stat(key, { signal })) !== undefined) continue;
      bytes += (await from.store.stat(key, { signal }))?.sizeBytes ?? 0;
    }
  return bytes;
}

/**
 * Does what was planned. Run again it goes on.
 * @throws {KeyframeError} CONFLICT, CORRUPT, LOCKED, SIGNATURE_INVALID, KEY_REQUIRED, KEY_WRONG
 */
export async function translate(
  context: TranslationContext,
  plan: TranslationPlan,
  options: TranslationOptions = {},
): Promise<TranslationReport> {
  const count = { backups: 0, walFiles: 0, copied: 0, copiedBytes: 0, present: 0 };
  // A pack is needed by many backups, and counts once.
  const seen = new Set<string>();
  const tell = (key: string, sizeBytes: number, isNew: boolean): void => {
    if (seen.has(key)) return;
    seen.add(key);
    if (isNew) {
      count.copied += 1;
      count.copiedBytes += sizeBytes;
    } else count.present += 1;
    options.onProgress?.({ objects: count.copied + count.present, bytes: count.copiedBytes });
  };
  for (const epoch of plan.epochs) {
    const places = await placesOf(context, epoch, options);
    count.present += epoch.copied;
    const signed = epoch.archive.chain.pinned ? await epoch.archive.chain.audit(options) : undefined;
    await translateWal(places, {
      needs: epoch.needs,
      signed: (name) => signed?.walIdentity(name),
      onFile: ({ key, sizeBytes }, isNew) => {
        count.walFiles += isNew ? 1 : 0;
        tell(key, sizeBytes, isNew);
      },
    });
    await translateBackups(context, epoch, places, { ...options, onObject: tell });
    count.backups += epoch.backups.length;
    await (await context.to.cluster(epoch.cluster).at(epoch.archive.epoch.number, options)).chain.checkpoint(options);
  }
  const { id } = await context.to.identity(options);
  return { repositoryId: id, ...count, expired: plan.expired };
}

async function placesOf(
  { from, to }: TranslationContext,
  { cluster, archive }: EpochPlan,
  { signal }: Abortable,
): Promise<TranslationPlaces> {
  const target = storedCluster(to, cluster);
  await target.bring(archive.epoch, { signal });
  const { number } = archive.epoch;
  return {
    from: await storedCluster(from, cluster).contextOf(number, { signal }),
    to: await target.contextOf(number, { signal }),
    signal,
  };
}

/** Under the lease of a backup, so that no backup takes what is being written for somebody's leftovers. */
async function translateBackups(
  { to, holder, isHolderAlive, tool }: TranslationContext,
  { cluster, archive, backups }: EpochPlan,
  places: TranslationPlaces,
  { signal, onBackup, onObject }: BackupOptions,
): Promise<void> {
  if (backups.length === 0) return;
  const lease = await to.lease(`${cluster}/backup`, holder, { ttlMs: LEASE_MS, isHolderAlive, signal });
  const held = { ...places, signal: signal === undefined ? lease.lost : AbortSignal.any([signal, lease.lost]) };
  try {
    for (const record of backups) {
      // What nobody vouches for there is not signed here.
      await archive.chain.assertTrusted(record, { signal });
      onBackup?.(record.label);
      await translateBackup(held, record, { holder, tool, onObject });
    }
  } finally {
    await lease.release();
  }
}

interface BackupOptions extends TranslationOptions {
  readonly onObject: (key: string, sizeBytes: number, isNew: boolean) => void;
}

function storedCluster(repository: Repository, name: string): StoredCluster {
  const cluster = repository.cluster(name);
  if (cluster instanceof StoredCluster) return cluster;
  throw new KeyframeError('INTERNAL', `the cluster ${name} is not of a repository that was opened here`);
}

/** Whether what is encrypted at the source would lie in plain at the target. */
export async function revealsContent(
  { from, to }: Pick<TranslationContext, 'from' | 'to'>,
  options: Abortable = {},
): Promise<boolean> {
  const [source, target] = await Promise.all([from.keys.list(options), to.keys.list(options)]);
  return source.generations.length > 0 && target.generations.length === 0;
}
