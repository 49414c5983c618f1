/** What is there, and what of it is needed. @packageDocumentation */
import { type Abortable, hasCode, historyName, type KeyframeError, type TimelineId } from '@keyframe/contracts';
import { drain } from '@keyframe/contracts/streams';
import { parseTimelineHistory, type TimelineHistory } from '@keyframe/postgres';
import type {
  BackupRecord,
  ClusterHistory,
  EpochArchive,
  ListedObject,
  ObjectProof,
  PackUse,
  WalIndexRef,
  WalInventory,
} from '@keyframe/repository';
import { type Course, coursesOf } from './courses.ts';
import type { Findings } from './findings.ts';

/** An epoch as it was listed. */
export interface EpochSurvey {
  readonly archive: EpochArchive;
  /** By key. WAL files are in `wal`. */
  readonly objects: ReadonlyMap<string, ListedObject>;
  /** By the names of WAL files; little is kept of each, since there may be a million. */
  readonly wal: ReadonlyMap<string, ListedWal>;
  /** Objects of the WAL index; they are among `objects`, too. */
  readonly indexes: readonly WalIndexRef[];
  /** The backups that are looked at. */
  readonly records: readonly BackupRecord[];
  readonly inventory: WalInventory;
  readonly histories: ReadonlyMap<TimelineId, TimelineHistory>;
  readonly courses: readonly Course[];
}

/** What is kept of a WAL file that was listed. */
export type ListedWal = Pick<ListedObject, 'sizeBytes' | 'stamp'>;

/** A pack with the backups that need it. */
export interface NeededPack {
  readonly use: PackUse;
  readonly labels: string[];
}

/** Lists all epochs of a cluster, reads records and history files. What cannot be read of them is a finding. */
export async function survey(
  history: ClusterHistory,
  labels: readonly string[],
  findings: Findings,
  options: Abortable,
): Promise<EpochSurvey[]> {
  const surveys: EpochSurvey[] = [];
  for (const { number } of await history.epochs(options))
    surveys.push(await surveyEpoch(await history.at(number, options), labels, findings, options));
  return surveys;
}

async function surveyEpoch(
  archive: EpochArchive,
  labels: readonly string[],
  findings: Findings,
  options: Abortable,
): Promise<EpochSurvey> {
  // Records first: what they need was there before them, so a listing made later has it, also while backups are taken.
  const all = await archive.backups.list({ ...options, onDamage: (fault) => findings.damagedRecord(fault) });
  const objects = new Map<string, ListedObject>();
  const wal = new Map<string, ListedWal>();
  for await (const object of archive.checks.list(options))
    // A name that was cut out of a key would keep the whole key in memory.
    if (object.kind === 'wal') {
      const { name, sizeBytes, stamp } = object;
      wal.set(Buffer.from(name).toString('latin1'), { sizeBytes, stamp });
    } else objects.set(object.key, object);
  const records = labels.length === 0 ? all : all.filter(({ label }) => labels.includes(label));
  const inventory = await archive.wal.inventory({ ...options, segmentSizeBytes: all.at(-1)?.walSegmentSizeBytes });
  const histories = await readHistories({ archive, inventory, wal, records }, findings, options);
  const indexes = (await archive.index.list(options)).filter(({ key }) => objects.has(key));
  return { archive, objects, wal, indexes, records, inventory, histories, courses: coursesOf(histories, records) };
}

/** A history that is missing or damaged takes all of its timeline along, and no other. */
async function readHistories(
  epoch: Pick<EpochSurvey, 'archive' | 'inventory' | 'wal' | 'records'>,
  findings: Findings,
  options: Abortable,
): Promise<Map<TimelineId, TimelineHistory>> {
  const { archive, inventory, records } = epoch;
  const histories = new Map<TimelineId, TimelineHistory>([[1, { timeline: 1, ancestors: [] }]]);
  const wanted = new Set([...inventory.timelines, ...inventory.histories, ...records.map((each) => each.timeline)]);
  for (const timeline of [...wanted].filter((each) => each > 1)) {
    const name = historyName(timeline);
    const hit = records.filter((each) => each.timeline === timeline).map(({ label }) => label);
    const key = archive.checks.keyOf('wal', name);
    try {
      const found = await archive.wal.get(name, options);
      if (found === undefined) findings.history('missing', key, timeline, hit);
      else histories.set(timeline, parseTimelineHistory(name, (await drain(found.content)).toString()));
    } catch (error) {
      if (hasCode(error, 'KEY_REQUIRED', 'KEY_WRONG')) {
        findings.remark(
          `without a key the history of timeline ${timeline} cannot be read: its WAL is not checked for gaps`,
        );
        continue;
      }
      if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT')) throw error;
      findings.history('damaged', key, timeline, hit, error);
    }
  }
  return histories;
}

/** A WAL file as it was listed. */
export function walObject(
  { archive, wal }: Pick<EpochSurvey, 'archive' | 'wal'>,
  name: string,
): ListedObject | undefined {
  const listed = wal.get(name);
  return listed === undefined ? undefined : { key: archive.checks.keyOf('wal', name), kind: 'wal', ...listed, name };
}

/** Reads the manifests, both copies of each, and gathers which packs are needed by whom. */
export async function neededPacks(
  surveys: readonly EpochSurvey[],
  check: (epoch: EpochSurvey, record: BackupRecord) => Promise<readonly PackUse[]>,
): Promise<Map<string, NeededPack>> {
  const needed = new Map<string, NeededPack>();
  for (const epoch of surveys)
    for (const record of epoch.records)
      for (const use of await check(epoch, record)) {
        const known = needed.get(use.key);
        if (known === undefined) needed.set(use.key, { use, labels: [record.label] });
        else known.labels.push(record.label);
      }
  return needed;
}

/** Whether a pack that was read is the one that a manifest names. */
export function isNamed(table: NonNullable<ObjectProof['table']>, use: PackUse): boolean {
  return (
    table.tableOffset === use.tableOffset &&
    table.frames === use.frames &&
    Buffer.compare(table.tableSha256, use.tableSha256) === 0
  );
}

/** What a fault says, without the name of the object that stands beside it anyway. */
export function whatIn({ message }: KeyframeError): string {
  return message.replace(/^the object \S+ is (?:damaged: )?/u, '').replace(/^missing$/u, 'it is missing');
}
