import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * Seconds that files take which take long, on a machine that does much else; what is not named takes less. One of these begun
 * last would run alone at the end. Only their order counts, so old figures cost little.
 */
const SECONDS: Readonly<Record<string, number>> = {
  'e2e/increments-doubt': 310,
  'e2e/increments': 240,
  'torture/history': 220,
  'torture/kills': 210,
  'e2e/shapes': 200,
  'e2e/healing': 175,
  'e2e/expire': 170,
  'torture/receiver': 160,
  'e2e/memory': 140,
  'torture/expiry': 130,
  'e2e/archiver': 125,
  'torture/memory': 125,
  'e2e/delta': 120,
  'e2e/timelines': 120,
  'torture/recoveries': 115,
  'e2e/backup-choices': 115,
  'e2e/wal-receive': 115,
  'e2e/kept-pages': 100,
  'e2e/wal-receive-places': 100,
  'e2e/mirrors': 100,
  'e2e/encryption': 100,
  'e2e/full-and-denied': 90,
  'e2e/copy': 85,
  'e2e/signals': 80,
  'test/ledger': 70,
  'e2e/damage': 65,
  'test/setup': 60,
  'e2e/key-kills': 60,
  'e2e/demo': 60,
  'e2e/epochs': 55,
  'e2e/broken-archive': 50,
  'test/local-backup': 50,
  'e2e/verify': 50,
  'e2e/log': 50,
};

/** Begins with the files that take longest. */
export default class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await BaseSequencer.prototype.sort.call(this, files);
    return sorted.toSorted((one, other) => groupOf(one) - groupOf(other) || secondsOf(other) - secondsOf(one));
  }
}

const groupOf = ({ project }: TestSpecification): number => project.config.sequence.groupOrder;

function secondsOf({ moduleId }: TestSpecification): number {
  const [folder, file = ''] = moduleId.split('/').slice(-2);
  return SECONDS[`${folder}/${file.replace('.test.ts', '')}`] ?? 0;
}
