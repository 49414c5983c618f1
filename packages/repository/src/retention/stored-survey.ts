import {
  type Abortable,
  isKeyframeError,
  type KeyframeError,
  parseWalFileName,
  type TimelineId,
} from '@keyframe/contracts';
import { decodeIntent } from '../backup/record-json.ts';
import type { BackupIntent, BackupRecord } from '../backup/record.ts';
import type { PackUse } from '../backup/manifest.ts';
import type { EpochArchive } from '../cluster.ts';
import type { EpochContext } from '../epoch-context.ts';
import { walKey } from '../keys.ts';
import { readSealed } from '../objects/with-copies.ts';
import { partOfKey } from '../wal/part-name.ts';
import { partKey } from '../wal/streamed-wal.ts';
import type { EpochSurvey, LabelSurvey, TimelineSurvey, WalCompanion } from './survey.ts';

/** Labels read at once. */
const READS = 8;
const PACK = /^pack-(\d{5,})$/u;

/** Where one epoch is looked at; `list` gives its records with the expired ones. */
export interface SurveyPlace {
  readonly context: EpochContext;
  readonly archive: EpochArchive;
  readonly record: (label: string, options: Abortable) => Promise<BackupRecord>;
}

/** Lists packs that manifests name, remembered by the manifest's root, which cannot change. */
export type KnownUses = Map<string, readonly PackUse[]>;

/** @throws {KeyframeError} UNAVAILABLE, ACCESS_DENIED; what is damaged is noted in the label it belongs to */
export async function surveyEpoch(place: SurveyPlace, known: KnownUses, options: Abortable): Promise<EpochSurvey> {
  const listed = await listLabels(place.context, options);
  const labels: LabelSurvey[] = [];
  for (let start = 0; start < listed.length; start += READS)
    labels.push(
      ...(await Promise.all(listed.slice(start, start + READS).map((each) => look(place, known, each, options)))),
    );
  const segmentSizeBytes = labels.find(({ record }) => record !== undefined)?.record?.walSegmentSizeBytes;
  return { archive: place.archive, labels, ...(await listWal(place, segmentSizeBytes, options)) };
}

interface Listed {
  readonly label: string;
  readonly names: Set<string>;
  readonly packs: Map<number, number>;
  otherBytes: number;
}

async function listLabels({ store, prefix }: EpochContext, options: Abortable): Promise<Listed[]> {
  const found = new Map<string, Listed>();
  const below = `${prefix}backups/`;
  for await (const { key, sizeBytes } of store.list(below, options)) {
    const [label, name, ...more] = key.slice(below.length).split('/');
    if (label === undefined || name === undefined || more.length > 0) continue;
    const listed = found.get(label) ?? { label, names: new Set(), packs: new Map(), otherBytes: 0 };
    found.set(label, listed);
    const number = PACK.exec(name)?.[1];
    if (number === undefined) {
      listed.names.add(name);
      listed.otherBytes += sizeBytes;
    } else listed.packs.set(Number(number), sizeBytes);
  }
  return [...found.values()].toSorted((one, other) => (one.label < other.label ? -1 : 1));
}

async function look(
  { context, archive, record: read }: SurveyPlace,
  known: KnownUses,
  { label, names, packs, otherBytes }: Listed,
  options: Abortable,
): Promise<LabelSurvey> {
  let record: BackupRecord | undefined;
  let intent: BackupIntent | undefined;
  let uses: readonly PackUse[] | undefined;
  let fault: KeyframeError | undefined;
  const attempt = async (work: () => Promise<void>): Promise<void> => {
    try {
      await work();
    } catch (error) {
      if (!isKeyframeError(error) || error.retryable || error.code === 'ACCESS_DENIED') throw error;
      fault ??= error;
    }
  };
  if (names.has('backup.json'))
    await attempt(async () => {
      record = await read(label, options);
      uses = known.get(record.manifest.root) ?? (await archive.backups.manifest(record, options)).packs();
      known.set(record.manifest.root, uses);
    });
  else if (names.has('intent'))
    await attempt(async () => {
      const key = `${context.prefix}backups/${label}/intent`;
      intent = decodeIntent(await readSealed(context.store, key, options.signal), key);
    });
  return { label, record, intent, hasManifest: names.has('manifest'), packs, otherBytes, uses, fault };
}

interface Lists {
  readonly numbers: number[];
  readonly sizes: number[];
  readonly modifiedMs: number[];
}

async function listWal(
  { context, archive }: SurveyPlace,
  told: number | undefined,
  options: Abortable,
): Promise<Pick<EpochSurvey, 'segmentSizeBytes' | 'timelines' | 'companions' | 'histories'>> {
  const { store, prefix } = context;
  let segmentSizeBytes = told;
  const timelines = new Map<TimelineId, Lists>();
  const companions: WalCompanion[] = [];
  const histories: TimelineId[] = [];
  for await (const { key, sizeBytes, modifiedAt } of store.list(`${prefix}wal/`, options)) {
    const part = partOfKey(key);
    if (part !== undefined && prefix + partKey(part) === key) {
      segmentSizeBytes ??= (await archive.wal.inventory(options)).segmentSizeBytes;
      const number = part.log * (0x1_00_00_00_00 / segmentSizeBytes) + part.number;
      companions.push({ name: part.name, timeline: part.timeline, number, sizeBytes });
      continue;
    }
    const file = parseWalFileName(key.slice(key.lastIndexOf('/') + 1));
    if (file === undefined || prefix + walKey(file) !== key) continue;
    if (file.kind === 'history') {
      histories.push(file.timeline);
      continue;
    }
    segmentSizeBytes ??= (await archive.wal.inventory(options)).segmentSizeBytes;
    const { name, timeline, log, segment } = file;
    const number = log * (0x1_00_00_00_00 / segmentSizeBytes) + segment;
    if (file.kind === 'segment') {
      const lists = timelines.get(timeline) ?? { numbers: [], sizes: [], modifiedMs: [] };
      timelines.set(timeline, lists);
      lists.numbers.push(number);
      lists.sizes.push(sizeBytes);
      lists.modifiedMs.push(modifiedAt.getTime());
    } else companions.push({ name, timeline, number, sizeBytes });
  }
  return {
    segmentSizeBytes,
    timelines: new Map([...timelines].map(([timeline, lists]) => [timeline, sorted(lists)])),
    companions,
    histories: histories.toSorted((one, other) => one - other),
  };
}

function sorted({ numbers, sizes, modifiedMs }: Lists): TimelineSurvey {
  if (numbers.every((number, index) => index === 0 || number > (numbers[index - 1] ?? 0)))
    return { numbers, sizes, modifiedMs };
  const order = numbers.map((_, index) => index).toSorted((one, other) => (numbers[one] ?? 0) - (numbers[other] ?? 0));
  const take = (from: readonly number[]): number[] => order.map((index) => from[index] ?? 0);
  return { numbers: take(numbers), sizes: take(sizes), modifiedMs: take(modifiedMs) };
}
