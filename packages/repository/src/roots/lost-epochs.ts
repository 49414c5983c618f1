/** What an epoch was, as its backups say it. @packageDocumentation */
import { type Abortable, hasCode, type ObjectInfo } from '@keyframe/contracts';
import { decodeRecord } from '../backup/record-json.ts';
import type { BackupRecord } from '../backup/record.ts';
import { readOutline } from '../checks/outline.ts';
import type { EpochContext } from '../epoch-context.ts';
import { openSealedJson } from '../format/sealed-json.ts';
import { archivePrefix, epochPrefix } from '../keys.ts';
import { damaged } from '../objects/damage.ts';
import { readSealed, withCopies } from '../objects/with-copies.ts';
import { findCopy, readManifestAt } from '../retention/manifest-copy.ts';
import { epochJson, type ClusterContext } from '../stored-cluster.ts';
import type { LostRoot } from './lost-roots.ts';

/** Backups and WAL files that are asked in each epoch. */
const ASKED = 8;
const KEY = /^clusters\/([^/]+)\/(?:epochs\/([1-9]\d*)\.json$|([1-9]\d*)\/(backups|wal)\/(.+))/u;

interface Place {
  readonly cluster: string;
  readonly number: number;
  hasRecord: boolean;
  hasContent: boolean;
  /** Names of objects by label. */
  readonly labels: Map<string, Map<string, number>>;
  readonly wal: ObjectInfo[];
}

type Said = Pick<BackupRecord, 'systemIdentifier' | 'postgresVersion' | 'startedAt'>;

/** Every epoch that has content and no readable record. */
export async function lostEpochs(context: ClusterContext, options: Abortable): Promise<LostRoot[]> {
  const lost: LostRoot[] = [];
  for (const place of await placesOf(context, options)) {
    const key = `${epochPrefix(place.cluster)}${place.number}.json`;
    const fault = place.hasRecord ? await faultOf(context, key, options) : 'missing';
    if (fault !== undefined) lost.push(await rootOf(context, place, { key, fault }, options));
  }
  return lost;
}

async function placesOf({ store }: ClusterContext, { signal }: Abortable): Promise<Place[]> {
  const places = new Map<string, Place>();
  for await (const info of store.list('clusters/', { signal })) {
    const [, cluster, record, epoch, area, rest = ''] = KEY.exec(info.key) ?? [];
    if (cluster === undefined) continue;
    const number = Number(record ?? epoch);
    const name = `${cluster}/${String(number).padStart(10, '0')}`;
    const fresh: Place = { cluster, number, hasRecord: false, hasContent: false, labels: new Map(), wal: [] };
    const place = places.get(name) ?? fresh;
    places.set(name, place);
    if (record !== undefined) place.hasRecord = true;
    else {
      place.hasContent = true;
      if (area === 'wal' && place.wal.length < ASKED) place.wal.push(info);
      if (area === 'backups') note(place, rest, info.sizeBytes);
    }
  }
  return [...places].toSorted(([one], [other]) => (one < other ? -1 : 1)).map(([, place]) => place);
}

function note({ labels }: Place, rest: string, sizeBytes: number): void {
  const [label = '', object, ...more] = rest.split('/');
  if (object === undefined || more.length > 0) return;
  const names = labels.get(label) ?? new Map<string, number>();
  names.set(object, sizeBytes);
  labels.set(label, names);
}

async function faultOf({ store }: ClusterContext, key: string, { signal }: Abortable): Promise<'damaged' | undefined> {
  try {
    openSealedJson(await readSealed(store, key, signal), key);
    return undefined;
  } catch (error) {
    if (!hasCode(error, 'CORRUPT')) throw error;
    return 'damaged';
  }
}

async function rootOf(
  context: ClusterContext,
  place: Place,
  base: Pick<LostRoot, 'key' | 'fault'>,
  options: Abortable,
): Promise<LostRoot> {
  const said = await saidOf(context, place, options);
  const systems = new Set([
    ...said.map(({ systemIdentifier }) => systemIdentifier),
    ...(await walSystems(context, place, options)),
  ]);
  if (systems.size > 1)
    throw damaged(
      base.key,
      `it is lost, and what lies there is of several system identifiers: ${[...systems].join(', ')}`,
    );
  const [oldest] = said;
  const [system] = systems;
  if (oldest === undefined || system === undefined)
    return { ...base, content: undefined, detail: nothingSaid(system), assumed: [] };
  const { postgresVersion, startedAt: createdAt } = oldest;
  return {
    ...base,
    content: epochJson({ number: place.number, systemIdentifier: system, postgresVersion, createdAt }),
    detail: `${said.length === 1 ? 'a backup of it names' : `${said.length} backups of it name`} system identifier ${system} and PostgreSQL ${Math.floor(postgresVersion / 10_000)}`,
    assumed: ['the time it was begun, for which that of the oldest backup looked at is put'],
  };
}

function nothingSaid(system: string | undefined): string {
  const none = 'no record or manifest of a backup in it can be read';
  return system === undefined
    ? `${none}, and no WAL file names its system identifier`
    : `${none}: its WAL is of system identifier ${system}; the next \`keyframe wal push\` or \`keyframe backup\` of that server writes it anew where it is the only epoch`;
}

/** What the oldest backups say, by their records, or else by their manifests. */
async function saidOf(common: ClusterContext, place: Place, options: Abortable): Promise<Said[]> {
  const { cluster, number, labels } = place;
  const epoch = { number, systemIdentifier: '', postgresVersion: 0, createdAt: '' };
  const context: EpochContext = { ...common, cluster, epoch, prefix: archivePrefix(cluster, number) };
  const said: Said[] = [];
  for (const [label, names] of [...labels].toSorted(([one], [other]) => (one < other ? -1 : 1))) {
    if (said.length >= ASKED) break;
    const found =
      (await fromRecord(context, label, names, options)) ?? (await fromManifest(context, label, names, options));
    if (found !== undefined) said.push(found);
  }
  return said;
}

async function fromRecord(
  { store, prefix, cluster, epoch }: EpochContext,
  label: string,
  names: ReadonlyMap<string, number>,
  { signal }: Abortable,
): Promise<Said | undefined> {
  if (!names.has('backup.json')) return undefined;
  const key = `${prefix}backups/${label}/backup.json`;
  try {
    const record = decodeRecord(await readSealed(store, key, signal), key);
    const isOurs = record.cluster === cluster && record.epoch === epoch.number && record.label === label;
    return isOurs ? record : undefined;
  } catch (error) {
    if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT', 'NOT_FOUND')) throw error;
    return undefined;
  }
}

async function fromManifest(
  context: EpochContext,
  label: string,
  names: ReadonlyMap<string, number>,
  options: Abortable,
): Promise<Said | undefined> {
  const prefix = `${context.prefix}backups/${label}/`;
  const packs = new Map(
    [...names].flatMap(([name, size]) => (/^pack-\d+$/u.test(name) ? [[Number(name.slice(5)), size] as const] : [])),
  );
  try {
    const size = names.get('manifest');
    const place =
      size === undefined
        ? await findCopy(context, prefix, packs, options)
        : { key: `${prefix}manifest`, offset: 0, sizeBytes: size };
    return place && (await readManifestAt(context, label, place, options)).description;
  } catch (error) {
    // Without a key it says nothing here.
    if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT', 'NOT_FOUND', 'KEY_REQUIRED', 'KEY_WRONG')) throw error;
    return undefined;
  }
}

async function walSystems({ store }: ClusterContext, { wal }: Place, { signal }: Abortable): Promise<Set<string>> {
  const systems = new Set<string>();
  for (const { key, sizeBytes } of wal)
    try {
      const object = { key, sizeBytes, kind: 'wal' as const };
      systems.add(
        await withCopies(store, key, async (copy) =>
          (await readOutline(copy, object, signal)).fields.text('systemIdentifier'),
        ),
      );
    } catch (error) {
      if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT', 'NOT_FOUND')) throw error;
    }
  return systems;
}
