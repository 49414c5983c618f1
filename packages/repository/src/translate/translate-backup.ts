/**
 * Brings one backup to another repository: intent, packs, manifest, record. Whatever a run wrote before it was killed, the
 * next one recognises by its origin; what it had begun to write is not there.
 * @packageDocumentation
 */
import { hasCode, KeyframeError } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import type { PackUse } from '../backup/manifest.ts';
import { publishRecord } from '../backup/publish-record.ts';
import type { BackupIntent, BackupRecord } from '../backup/record.ts';
import { decodeIntent, decodeRecord, encodeIntent } from '../backup/record-json.ts';
import { StoredManifest } from '../backup/stored-manifest.ts';
import { checkManifest } from '../checks/manifest-check.ts';
import type { EpochContext } from '../epoch-context.ts';
import type { PackLine } from '../format/manifest-tables.ts';
import { packName } from '../keys.ts';
import type { LeaseHolder } from '../lease.ts';
import { damaged } from '../objects/damage.ts';
import { createOnly, putOnce } from '../objects/put-once.ts';
import { readSealed } from '../objects/with-copies.ts';
import { findCopy, type ManifestPlace, readManifestAt, sha256At } from '../retention/manifest-copy.ts';
import { Tombstones } from '../retention/tombstones.ts';
import { ContentHashes } from './content-hashes.ts';
import { isFrom, type Origin, originOf } from './origin.ts';
import { type ManifestParts, manifestCarrier } from './translate-manifest.ts';
import { translatePack, type TranslationPlaces } from './translate-pack.ts';

/** Packs on their way at once: each is read, decrypted and encrypted frame by frame. */
const AT_ONCE = 2;

/** Who copies, as the intent at the target says it. */
export interface Translator {
  readonly holder: LeaseHolder;
  readonly tool: string;
  /** An object is there: written now, or recognised. */
  onObject(key: string, sizeBytes: number, isNew: boolean): void;
}

/** Whether the target has a published copy of that backup. @throws {KeyframeError} CONFLICT when it has another of that label */
export async function hasCopy(places: TranslationPlaces, record: BackupRecord): Promise<boolean> {
  const { to, signal } = places;
  const key = `${to.prefix}backups/${record.label}/backup.json`;
  if ((await to.store.stat(key, { signal })) === undefined) return false;
  const found = decodeRecord(await readSealed(to.store, key, signal), key);
  if (await isOf(places, found.origin, record)) return true;
  throw taken(record.label, key);
}

/** Brings it over and publishes it. */
export async function translateBackup(
  places: TranslationPlaces,
  source: BackupRecord,
  translator: Translator,
): Promise<BackupRecord> {
  const { from, to, signal } = places;
  const manifest = await StoredManifest.open(from, source, { signal });
  const uses = manifest.packs();
  const parent = await parentPacks(places, source);
  await announce(places, source, uses, parent, translator);
  const hashes = new ContentHashes();
  const lines = await bringPacks(places, uses, { parent, hashes, translator });
  const highest = Math.max(0, ...uses.filter((use) => isOwn(use, source)).map(({ number }) => number));
  const number = highest + 1;
  const key = `${to.prefix}backups/${source.label}/${packName(number)}`;
  const place = await bringManifest(places, { manifest, lines, hashes, carrier: { key, number } }, translator);
  const record = await recordOf(places, source, place);
  const { faults, packs } = await checkManifest(to, record, { signal, deep: true });
  if (faults[0] !== undefined || packs === undefined)
    throw faults[0]?.error ?? damaged(record.manifest.key, 'unreadable');
  await publishRecord(to, record, { epoch: record.epoch, label: record.label, packs }, { signal });
  return record;
}

/** Keys of the packs that the parent's copy names: proven when that was made. */
async function parentPacks({ to, signal }: TranslationPlaces, { parent }: BackupRecord): Promise<ReadonlySet<string>> {
  const key = `${to.prefix}backups/${parent}/backup.json`;
  if (parent === undefined || (await to.store.stat(key, { signal })) === undefined) return new Set();
  const record = decodeRecord(await readSealed(to.store, key, signal), key);
  return new Set((await StoredManifest.open(to, record, { signal })).packs().map((each) => each.key));
}

/** Says whose packs it is going to need before it relies on them, as every backup does; then asks what is expired. */
async function announce(
  places: TranslationPlaces,
  source: BackupRecord,
  uses: readonly PackUse[],
  parent: ReadonlySet<string>,
  { holder, tool }: Translator,
): Promise<void> {
  const { to, signal } = places;
  const { label, type, method, startedAt } = source;
  const key = `${to.prefix}backups/${label}/intent`;
  const others = uses.filter((use) => use.label !== label && !parent.has(use.key)).map((use) => use.label);
  const base = source.parent !== undefined && parent.size > 0 ? source.parent : undefined;
  const resumes = [...new Set(others)].toSorted();
  const origin = originOf(places.from.repositoryId, source.manifest.root, await to.keyring.writing({ signal }));
  const intent: BackupIntent = {
    label,
    type,
    method,
    startedAt,
    holder,
    tool,
    origin,
    ...(base === undefined ? {} : { parent: base }),
    ...(resumes.length > 0 ? { resumes } : {}),
  };
  const isNew = await createOnly(to.store, key, bytesOf(encodeIntent(intent)), signal);
  if (!isNew) {
    const found = decodeIntent(await readSealed(to.store, key, signal), key);
    if (!(await isOf(places, found.origin, source))) throw taken(label, key);
  }
  const bases = [...(base === undefined ? [] : [base]), ...resumes];
  try {
    await new Tombstones(to.store, to.cluster).assertBases(to.epoch.number, bases, { signal });
  } catch (error) {
    if (isNew) await to.store.delete([key]);
    throw error;
  }
}

interface Bringing {
  readonly parent: ReadonlySet<string>;
  readonly hashes: ContentHashes;
  readonly translator: Translator;
}

async function bringPacks(
  places: TranslationPlaces,
  uses: readonly PackUse[],
  { parent, hashes, translator }: Bringing,
): Promise<(PackLine | undefined)[]> {
  const lines: (PackLine | undefined)[] = Array.from({ length: uses.length });
  const stop = new AbortController();
  const signal = AbortSignal.any([stop.signal, ...(places.signal === undefined ? [] : [places.signal])]);
  const queue = uses.entries();
  const worker = async (): Promise<void> => {
    for (const [index, use] of queue) {
      signal.throwIfAborted();
      const trusted = parent.has(use.key);
      const { line, sizeBytes, isNew } = await translatePack({ ...places, signal }, use, { hashes, trusted });
      lines[index] = line;
      if (line !== undefined) translator.onObject(use.key, sizeBytes, isNew);
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, worker));
  } catch (error) {
    stop.abort(error); // the other workers need not go on
    throw error;
  }
  return lines;
}

/** The manifest, first in its carrier's tail, then as an object of the same bytes. */
async function bringManifest(
  places: TranslationPlaces,
  parts: ManifestParts,
  translator: Translator,
): Promise<ManifestPlace> {
  const { to, signal } = places;
  const { carrier, manifest } = parts;
  const label = manifest.record.label;
  const prefix = `${to.prefix}backups/${label}/`;
  const isThere = (await to.store.stat(carrier.key, { signal })) !== undefined;
  const isNew = !isThere && (await putNew(to, carrier.key, await manifestCarrier(places, parts), signal));
  const sizeBytes = (await to.store.stat(carrier.key, { signal }))?.sizeBytes ?? 0;
  const place = await findCopy(to, prefix, new Map([[carrier.number, sizeBytes]]), { signal });
  if (place === undefined) throw taken(label, carrier.key);
  translator.onObject(carrier.key, sizeBytes, isNew);
  const { description } = await readManifestAt(to, label, place, { signal });
  if (!(await isOf(places, description.origin, manifest.record))) throw taken(label, carrier.key);
  const range = { start: place.offset, end: place.offset + place.sizeBytes };
  const open = async function* (): AsyncGenerator<Uint8Array> {
    yield* await to.store.get(carrier.key, { range, signal });
  };
  await putOnce(to.store, `${prefix}manifest`, { sizeBytes: place.sizeBytes, open }, signal);
  translator.onObject(`${prefix}manifest`, place.sizeBytes, isNew);
  return place;
}

/** False: it is there by now. */
async function putNew(
  { store }: EpochContext,
  key: string,
  source: Parameters<EpochContext['store']['put']>[1],
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    await store.put(key, source, { signal, ...(store.capabilities.conditionalPut === true && { ifAbsent: true }) });
    return true;
  } catch (error) {
    if (!hasCode(error, 'ALREADY_EXISTS')) throw error;
    return false;
  }
}

/** The record, from what the manifest itself says: the same whichever run wrote it. */
async function recordOf(
  { to, signal }: TranslationPlaces,
  { label }: BackupRecord,
  place: ManifestPlace,
): Promise<BackupRecord> {
  const { description, root, packs } = await readManifestAt(to, label, place, { signal });
  const prefix = `${to.prefix}backups/${label}/`;
  const own = new Set(packs.filter((pack) => isOwn(pack, description)).map(({ number }) => prefix + packName(number)));
  let storedBytes = place.sizeBytes;
  for await (const { key, sizeBytes } of to.store.list(prefix, { signal })) if (own.has(key)) storedBytes += sizeBytes;
  const sha256 = await sha256At(to, place, { signal });
  const copy = { key: place.key, offset: place.offset };
  return {
    ...description,
    storedBytes,
    manifest: { key: `${prefix}manifest`, sizeBytes: place.sizeBytes, sha256, root, copy },
  };
}

const isOwn = (
  pack: { readonly epoch: number; readonly label: string },
  { epoch, label }: { readonly epoch: number; readonly label: string },
): boolean => pack.epoch === epoch && pack.label === label;

function isOf(
  { from, to, signal }: TranslationPlaces,
  origin: Origin | undefined,
  source: BackupRecord,
): Promise<boolean> {
  return isFrom(origin, { repository: from.repositoryId, sha256: source.manifest.root }, to.keyring, { signal });
}

function taken(label: string, key: string): KeyframeError {
  return new KeyframeError('CONFLICT', `the target has another backup ${label}`, {
    hint: 'Copy into a repository of its own (`keyframe repository create`): this one has backups of the same cluster.',
    details: { label, key },
  });
}
