/** What only old backups need. Pure. @packageDocumentation */
import { archivePrefix, packName } from '../keys.ts';
import type { EpochSurvey } from './survey.ts';

/** A pack that can wait in an archive. */
export interface ColdPack {
  readonly key: string;
  readonly sizeBytes: number;
}

/**
 * Packs that no backup needs which stopped at `youngSince` or later, nor the newest backup, nor one that is not finished. Small
 * objects stay at hand, and so does WAL: whoever looks for a moment must be able to read it.
 */
export function coldPacks(surveys: readonly EpochSurvey[], youngSince: Date): ColdPack[] {
  const published = surveys.flatMap((each) =>
    each.labels.flatMap(({ record, uses }) => (record === undefined ? [] : [{ record, uses }])),
  );
  const newest = published.reduce((last, { record }) => (record.stoppedAt > last ? record.stoppedAt : last), '');
  const young = published.filter(
    ({ record: { stoppedAt } }) => Date.parse(stoppedAt) >= youngSince.getTime() || stoppedAt === newest,
  );
  // A manifest that cannot be read could need anything.
  if (young.length === 0 || young.some(({ uses }) => uses === undefined)) return [];
  const hot = new Set(young.flatMap(({ uses = [] }) => uses.map(({ key }) => key)));
  return surveys.flatMap((survey) => coldIn(survey, hot));
}

function coldIn({ archive, labels }: EpochSurvey, hot: ReadonlySet<string>): ColdPack[] {
  return labels.flatMap(({ label, record, packs }) =>
    record === undefined
      ? []
      : [...packs].flatMap(([number, sizeBytes]) => {
          const key = `${archivePrefix(archive.cluster, archive.epoch.number)}backups/${label}/${packName(number)}`;
          return hot.has(key) ? [] : [{ key, sizeBytes }];
        }),
  );
}
