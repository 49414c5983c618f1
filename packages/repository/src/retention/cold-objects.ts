/** What only old backups need. Pure. @packageDocumentation */
import { parseWalFileName, segmentName } from '@keyframe/contracts';
import { archivePrefix, packName, walKey } from '../keys.ts';
import type { EpochSurvey } from './survey.ts';

/** An object that can wait in an archive. */
export interface ColdObject {
  readonly key: string;
  readonly sizeBytes: number;
  readonly kind: 'pack' | 'wal';
}

const DAY_MS = 86_400_000;

/**
 * Packs and WAL segments that no backup needs which stopped at `youngSince` or later, nor the newest backup, nor one that is
 * not finished. Small objects always stay at hand.
 */
export function coldObjects(surveys: readonly EpochSurvey[], youngSince: Date): ColdObject[] {
  const published = surveys.flatMap((each) =>
    each.labels.flatMap(({ record, uses }) => (record ? [{ record, uses }] : [])),
  );
  const newest = published.reduce((last, { record }) => (record.stoppedAt > last ? record.stoppedAt : last), '');
  const young = published.filter(
    ({ record: { stoppedAt } }) => Date.parse(stoppedAt) >= youngSince.getTime() || stoppedAt === newest,
  );
  // A manifest that cannot be read could need anything.
  if (young.length === 0 || young.some(({ uses }) => uses === undefined)) return [];
  const hot = new Set(young.flatMap(({ uses = [] }) => uses.map(({ key }) => key)));
  const oldestMs = Math.min(...young.map(({ record }) => Date.parse(record.startedAt)));
  return surveys.flatMap((survey) => [...coldPacks(survey, hot), ...coldWal(survey, oldestMs - DAY_MS)]);
}

function coldPacks({ archive, labels }: EpochSurvey, hot: ReadonlySet<string>): ColdObject[] {
  return labels.flatMap(({ label, record, packs }) =>
    record === undefined
      ? []
      : [...packs].flatMap(([number, sizeBytes]) => {
          const key = `${archivePrefix(archive.cluster, archive.epoch.number)}backups/${label}/${packName(number)}`;
          return hot.has(key) ? [] : [{ key, sizeBytes, kind: 'pack' as const }];
        }),
  );
}

/** WAL that a backup needs is archived after it began; clocks and a standby's restart points are in the day between. */
function coldWal({ archive, timelines, segmentSizeBytes }: EpochSurvey, beforeMs: number): ColdObject[] {
  if (segmentSizeBytes === undefined) return [];
  const prefix = archivePrefix(archive.cluster, archive.epoch.number);
  return [...timelines].flatMap(([timeline, { numbers, sizes, modifiedMs }]) =>
    numbers.flatMap((number, at): ColdObject[] => {
      if ((modifiedMs[at] ?? Infinity) >= beforeMs) return [];
      const name = segmentName(timeline, BigInt(number), segmentSizeBytes);
      const file = parseWalFileName(name);
      return file === undefined ? [] : [{ key: prefix + walKey(file), sizeBytes: sizes[at] ?? 0, kind: 'wal' }];
    }),
  );
}
