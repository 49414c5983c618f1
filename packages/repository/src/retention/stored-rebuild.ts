import { counted, type Abortable, hasCode, KeyframeError, type Store } from '@keyframe/contracts';
import { bytesOf } from '@keyframe/contracts/streams';
import { encodeRecord } from '../backup/record-json.ts';
import type { BackupRecord } from '../backup/record.ts';
import type { EpochContext } from '../epoch-context.ts';
import { damaged } from '../objects/damage.ts';
import { putOnce } from '../objects/put-once.ts';
import { withCopies } from '../objects/with-copies.ts';
import { findCopy, type ManifestPlace, readManifestAt, type ReadManifest, rootAt, sha256At } from './manifest-copy.ts';
import type { LostBackup, Rebuild } from './rebuild.ts';
import type { EpochSurvey, LabelSurvey } from './survey.ts';
import type { PackName, RememberedLabel, Tombstones } from './tombstones.ts';

/** What rebuilding works with. */
export interface RebuildParts {
  readonly tombstones: Tombstones;
  readonly survey: (options: Abortable) => Promise<readonly EpochSurvey[]>;
  readonly context: (epoch: number) => EpochContext;
}

/** Brings backups back from what is left of them. */
export class StoredRebuild implements Rebuild {
  readonly #parts: RebuildParts;

  constructor(parts: RebuildParts) {
    this.#parts = parts;
  }

  async find(
    options: Abortable & { readonly onFault?: ((fault: KeyframeError) => void) | undefined } = {},
  ): Promise<LostBackup[]> {
    const epochs = await this.#parts.survey(options);
    // After the listing: what was removed since it is known as such.
    const remembered = await this.#parts.tombstones.remembered(options);
    for (const fault of remembered.faults) options.onFault?.(fault);
    const lost: LostBackup[] = [];
    for (const survey of epochs) {
      const { number: epoch } = survey.archive.epoch;
      const signed = await signedExpiries(survey, options);
      const context = this.#parts.context(epoch);
      for (const label of survey.labels) {
        const state = remembered.of(epoch, label.label) ?? (signed.has(label.label) ? SIGNED_OFF : undefined);
        const found =
          state !== undefined
            ? leftOut(epoch, label, state)
            : label.record === undefined
              ? await this.#withoutRecord(context, survey, label, epochs, options)
              : await this.#withRecord(context, label.record, label, options);
        if (found !== undefined) lost.push(found);
      }
    }
    return lost;
  }

  async bringBack(lost: LostBackup, options: Abortable = {}): Promise<BackupRecord> {
    const { record } = lost;
    if (lost.verdict !== 'can-return' || record === undefined)
      throw new KeyframeError(
        'CORRUPT',
        `the backup ${lost.label} cannot be brought back: ${lost.detail ?? lost.verdict}`,
        {
          hint: 'Run `keyframe repository rebuild` to see what can return.',
          details: { label: lost.label },
        },
      );
    const context = this.#parts.context(lost.epoch);
    const copy: ManifestPlace = {
      key: record.manifest.copy.key,
      offset: record.manifest.copy.offset,
      sizeBytes: record.manifest.sizeBytes,
    };
    const uses = (await readManifestAt(context, lost.label, placeOf(lost, copy), options)).packs;
    const publication = { epoch: lost.epoch, label: lost.label, packs: uses };
    await this.#parts.tombstones.assertPublishable(publication, options);
    if (lost.lost.includes('manifest')) await putManifest(context, record, copy, options);
    if (lost.lost.includes('record')) {
      const key = `${prefixOf(context, lost.label)}backup.json`;
      const seal = await context.signatures.sealer(key, options);
      await replace(context, key, bytesOf(encodeRecord(record, seal)), options);
    }
    return record;
  }

  /** A published backup: both copies of its manifest are looked at. */
  async #withRecord(
    context: EpochContext,
    record: BackupRecord,
    { label, hasManifest }: LabelSurvey,
    options: Abortable,
  ): Promise<LostBackup | undefined> {
    const { manifest } = record;
    const whole = { key: manifest.key, offset: 0, sizeBytes: manifest.sizeBytes };
    if (hasManifest && (await hasRoot(context, whole, manifest.root, options))) return undefined;
    const copy = { key: manifest.copy.key, offset: manifest.copy.offset, sizeBytes: manifest.sizeBytes };
    const base = { epoch: record.epoch, label, lost: ['manifest'] as const, record };
    return (await hasRoot(context, copy, manifest.root, options))
      ? { ...base, verdict: 'can-return', detail: undefined, source: copy.key }
      : { ...base, verdict: 'no-copy', detail: 'both copies of its manifest are lost', source: undefined };
  }

  /** A label without a readable record: it was published once, or never. */
  async #withoutRecord(
    context: EpochContext,
    survey: EpochSurvey,
    found: LabelSurvey,
    epochs: readonly EpochSurvey[],
    options: Abortable,
  ): Promise<LostBackup | undefined> {
    const { label, packs, hasManifest, fault, intent } = found;
    const prefix = prefixOf(context, label);
    const copy = await findCopy(context, prefix, packs, options);
    const places = [...(hasManifest ? [await objectAt(context, `${prefix}manifest`, options)] : []), copy];
    const [manifest, objectIsWhole] = await firstWhole(context, label, places, copy, options);
    const base = { epoch: context.epoch.number, label };
    if (manifest === undefined) {
      // Begun and never finished, or only packs that others use: nothing that ever counted.
      if (fault === undefined || intent !== undefined) return undefined;
      return {
        ...base,
        lost: ['record'],
        verdict: 'no-copy',
        detail: fault.message,
        source: undefined,
        record: undefined,
      };
    }
    const lost = objectIsWhole ? (['record'] as const) : (['manifest', 'record'] as const);
    const source = manifest.place.key;
    if (copy === undefined)
      return { ...base, lost, verdict: 'packs-missing', detail: 'its last pack is gone', source, record: undefined };
    const record = await recordOf(context, found, manifest, copy, options);
    const missing = missingPacks(epochs, manifest.packs);
    if (missing > 0)
      return { ...base, lost, verdict: 'packs-missing', detail: `${missing} of its packs are gone`, source, record };
    if (!hasOwnWal(survey, record))
      return {
        ...base,
        lost,
        verdict: 'wal-missing',
        detail: 'WAL from its start to its stop is not whole',
        source,
        record,
      };
    return { ...base, lost, verdict: 'can-return', detail: undefined, source, record };
  }
}

const SIGNED_OFF = { state: 'removed', kind: 'backup', markedAt: undefined } as const;

/** Labels that the signed chain says were removed: asked only where a record is missing. */
async function signedExpiries({ archive, labels }: EpochSurvey, options: Abortable): Promise<ReadonlySet<string>> {
  if (labels.every(({ record }) => record !== undefined)) return new Set();
  return (await archive.chain.audit(options)).expired;
}

/** What an expiry has taken does not come back by its packs; nor is what is left of it a loss. */
function leftOut(
  epoch: number,
  { label, record, packs, hasManifest, fault }: LabelSurvey,
  { state, kind, markedAt }: RememberedLabel | typeof SIGNED_OFF,
): LostBackup | undefined {
  // Begun, never finished, and given up: nothing that ever counted.
  if (kind === 'unfinished' && state === 'marked') return undefined;
  const isWhole = record !== undefined && hasManifest && fault === undefined;
  if (isWhole || (record === undefined && !hasManifest && packs.size === 0)) return undefined;
  const lost = [
    ...(hasManifest ? [] : (['manifest'] as const)),
    ...(record === undefined ? (['record'] as const) : []),
  ];
  const since = markedAt === undefined ? 'as the signed chain says' : `marked ${markedAt}`;
  const base = { epoch, label, lost, source: undefined, record: undefined };
  return state === 'marked'
    ? { ...base, verdict: 'expired', detail: `it is expired, ${since}: bring it back with \`keyframe undelete\` first` }
    : {
        ...base,
        verdict: 'removed',
        detail: `an expiry removed it, ${since}; left of it: ${counted(packs.size, 'pack')}`,
      };
}

const prefixOf = (context: EpochContext, label: string): string => `${context.prefix}backups/${label}/`;

const placeOf = (lost: LostBackup, copy: ManifestPlace): ManifestPlace =>
  lost.source === undefined || lost.source === copy.key ? copy : { ...copy, key: lost.source, offset: 0 };

async function objectAt(context: EpochContext, key: string, { signal }: Abortable): Promise<ManifestPlace | undefined> {
  const info = await context.store.stat(key, { signal });
  return info === undefined ? undefined : { key, offset: 0, sizeBytes: info.sizeBytes };
}

/** The first place whose manifest proves itself, and whether that is the object. */
async function firstWhole(
  context: EpochContext,
  label: string,
  places: readonly (ManifestPlace | undefined)[],
  copy: ManifestPlace | undefined,
  options: Abortable,
): Promise<[ReadManifest | undefined, boolean]> {
  for (const place of places) {
    if (place === undefined) continue;
    try {
      return [await readManifestAt(context, label, place, options), place !== copy];
    } catch (error) {
      if (!hasCode(error, 'CORRUPT')) throw error;
    }
  }
  return [undefined, false];
}

async function hasRoot(
  context: EpochContext,
  place: ManifestPlace,
  root: string,
  options: Abortable,
): Promise<boolean> {
  try {
    await withCopies(context.store, place.key, async (store) => {
      if ((await rootAt({ store }, place, options)) !== root) throw damaged(place.key, 'it is another manifest');
    });
    return true;
  } catch (error) {
    if (!hasCode(error, 'CORRUPT')) throw error;
    return false;
  }
}

/** The record as `publish` wrote it: stored bytes are those of packs and manifest. */
async function recordOf(
  context: EpochContext,
  { label, packs }: LabelSurvey,
  { description, place, root }: ReadManifest,
  copy: ManifestPlace,
  options: Abortable,
): Promise<BackupRecord> {
  const storedBytes = [...packs.values()].reduce((sum, size) => sum + size, place.sizeBytes);
  return {
    ...description,
    storedBytes,
    manifest: {
      key: `${prefixOf(context, label)}manifest`,
      sizeBytes: place.sizeBytes,
      sha256: await provenSha256(context, place, root, options),
      root,
      copy: { key: copy.key, offset: copy.offset },
    },
  };
}

/** Of bytes whose footer is the one that the rest was proven by. */
function provenSha256(
  { store }: EpochContext,
  place: ManifestPlace,
  root: string,
  options: Abortable,
): Promise<string> {
  return withCopies(store, place.key, async (copy) => {
    if ((await rootAt({ store: copy }, place, options)) !== root)
      throw damaged(place.key, 'its manifest changed while it was read');
    return sha256At({ store: copy }, place, options);
  });
}

function missingPacks(epochs: readonly EpochSurvey[], packs: readonly PackName[]): number {
  const labels = new Map(
    epochs.flatMap(({ archive, labels: each }) =>
      each.map((label) => [`${archive.epoch.number}/${label.label}`, label.packs] as const),
    ),
  );
  return packs.filter(({ epoch, label, number }) => labels.get(`${epoch}/${label}`)?.has(number) !== true).length;
}

function hasOwnWal(
  { timelines }: EpochSurvey,
  { timeline, startLsn, stopLsn, walSegmentSizeBytes }: BackupRecord,
): boolean {
  const size = BigInt(walSegmentSizeBytes);
  const held = new Set(timelines.get(timeline)?.numbers);
  for (let number = startLsn / size; number <= (stopLsn - 1n) / size; number += 1n)
    if (!held.has(Number(number))) return false;
  return true;
}

async function putManifest(
  context: EpochContext,
  { manifest }: BackupRecord,
  copy: ManifestPlace,
  options: Abortable,
): Promise<void> {
  const { key, offset, sizeBytes } = copy;
  const range = { start: offset, end: offset + sizeBytes };
  await withCopies(context.store, key, async (store: Store) => {
    // Proven first, in the very place it is read from: what is put below its key must not be another piece of damage.
    if ((await sha256At({ store }, copy, options)) !== manifest.sha256)
      throw damaged(key, 'the copy of the manifest in it fails its hash');
    const open = async function* (): AsyncGenerator<Uint8Array> {
      yield* await store.get(key, { range, signal: options.signal });
    };
    await replace(context, manifest.key, { sizeBytes, open }, options);
  });
}

/** What lies there is damaged: it is taken away first, since nothing is ever replaced. */
async function replace(
  { store }: EpochContext,
  key: string,
  source: Parameters<typeof putOnce>[2],
  { signal }: Abortable,
): Promise<void> {
  await store.delete([key], { signal });
  await putOnce(store, key, source, signal);
}
