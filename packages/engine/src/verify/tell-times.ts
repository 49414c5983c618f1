import { lsn, parseWalFileName, segmentName, segmentNumberOf } from '@keyframe/contracts';
import { segmentTimelines } from '@keyframe/postgres';
import { lastCommit } from '../archive/recoverable.ts';
import type { StageOptions } from '../events.ts';
import { formatMicros } from '../target/index.ts';
import type { Findings } from './findings.ts';
import type { EpochSurvey } from './survey.ts';

/** Findings that are dated: each costs the reading of a segment or some. */
const DATED = 10;
/** How many segments are read back to find a commit. */
const LOOK_BACK = 4n;

/** Lost moments are told by LSN: adds the time of the newest commit before them. */
export async function tellTimes(
  surveys: readonly EpochSurvey[],
  findings: Findings,
  { signal }: StageOptions,
): Promise<void> {
  const objects = new Set(findings.all.filter(({ moments }) => moments.length > 0).map(({ object }) => object));
  for (const object of [...objects].slice(0, DATED)) {
    const epoch = surveys.find(({ archive }) => archive.checks.keyOf('wal', nameIn(object)) === object);
    const time = epoch && (await commitBefore(epoch, nameIn(object), { signal }));
    if (time !== undefined) findings.date(object, formatMicros(time));
  }
}

const nameIn = (object: string): string => object.slice(object.lastIndexOf('/') + 1);

async function commitBefore(epoch: EpochSurvey, name: string, options: StageOptions): Promise<bigint | undefined> {
  const { archive, inventory, histories } = epoch;
  const { segmentSizeBytes } = inventory;
  const file = parseWalFileName(name);
  const history = file?.kind === 'segment' ? histories.get(file.timeline) : undefined;
  if (file?.kind !== 'segment' || history === undefined) return undefined;
  const lost = segmentNumberOf(file, segmentSizeBytes);
  for (let number = lost - 1n; number >= 0n && number >= lost - LOOK_BACK; number -= 1n) {
    const [timeline = file.timeline] = segmentTimelines(history, number, segmentSizeBytes);
    const before = segmentName(timeline, number, segmentSizeBytes);
    if (!inventory.has(before)) return undefined;
    const place = { name: before, timeline, start: lsn(number * BigInt(segmentSizeBytes)) };
    const found = await lastCommit(archive, place, segmentSizeBytes, options);
    if (typeof found === 'bigint') return found;
    if (found !== undefined) return undefined;
  }
  return undefined;
}
