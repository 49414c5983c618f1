/** Holds the WAL index against the WAL that it tells of. @packageDocumentation */
import { counted, hasCode, type Lsn, segmentName, type TimelineId } from '@keyframe/contracts';
import type { ListedObject, OpenedWalIndex, WalIndexRef } from '@keyframe/repository';
import type { ChangedBlocks, SegmentIndex } from '@keyframe/wal';
import { isDeepStrictEqual } from 'node:util';
import type { StageOptions } from '../events.ts';
import { coveringRefs, missingRuns, within } from '../lens/coverage.ts';
import { isWithoutWal } from '../lens/expire-index.ts';
import { refBefore, RunReader, type StateBefore } from '../lens/run-reader.ts';
import type { Task, WorkContext } from './check-objects.ts';
import type { Choice } from './choice.ts';
import type { Findings } from './findings.ts';
import type { Cost } from './report.ts';
import { type EpochSurvey, walObject, whatIn } from './survey.ts';

/** All of the index is derived: where content can be read it is compared with WAL, else held against its hashes. */
export function* indexTasks(
  epoch: EpochSurvey,
  { level, canDecode = true }: Choice,
  findings: Findings,
  toCompare: Map<string, string>,
): Generator<Task> {
  const { archive, objects, indexes } = epoch;
  for (const ref of indexes) {
    const object = objects.get(ref.key);
    if (object === undefined) continue;
    yield {
      archive,
      object,
      isWalked: level === 'content' && canDecode,
      besides: costOfWal(epoch, ref),
      proven: () => true,
      failed: (error) =>
        // Put together with others since it was listed.
        hasCode(error.cause, 'NOT_FOUND') || findings.index('damaged', object.key, whatIn(error)),
      toWalk: (root) => void toCompare.set(object.key, root),
    };
  }
}

/** How many of the archived segments the index tells of. */
export function indexedSegments({ inventory, indexes }: EpochSurvey): number {
  const { segmentSizeBytes, segments } = inventory;
  const missing = inventory.timelines
    .flatMap((timeline) => missingRuns(inventory.ranges(timeline), coveringRefs(indexes, timeline), segmentSizeBytes))
    .reduce((sum, { first, last }) => sum + Number(last - first) + 1, 0);
  return segments - missing;
}

/** What is told of WAL that is gone is of no use, and no harm. */
export function tellOrphans({ inventory, indexes }: EpochSurvey, findings: Findings): void {
  const orphans = indexes.filter((ref) => isWithoutWal(ref, inventory));
  if (orphans.length > 0)
    findings.remark(
      `${counted(orphans.length, 'object')} of the WAL index (${orphans[0]?.key}${orphans.length > 1 ? ' and others' : ''}) tell of WAL that is not archived`,
      'The next `keyframe expire` removes them.',
    );
}

/** Compares with what reading the segments tells now. */
export async function compareIndexes(
  epoch: EpochSurvey,
  roots: ReadonlyMap<string, string>,
  { findings, memory, work, now, onProgress }: WorkContext & { readonly findings: Findings },
  options: StageOptions,
): Promise<void> {
  for (const ref of epoch.indexes) {
    const root = roots.get(ref.key);
    const object = epoch.objects.get(ref.key);
    if (root === undefined || object === undefined) continue;
    const verdict = await compareOne(epoch, ref, options);
    const { readBytes, requests } = costOfWal(epoch, ref);
    work.readBytes += readBytes + ref.sizeBytes;
    work.requests += requests + 1;
    onProgress();
    if (verdict.kind === 'damaged' || verdict.kind === 'replaced') {
      memory.forget(ref.key);
      findings.index(verdict.kind, ref.key, verdict.what);
    } else if (verdict.kind === 'right') memory.set(ref.key, checkedOf(object, root, now()));
  }
}

const checkedOf = ({ sizeBytes, stamp }: ListedObject, root: string, atMs: number) =>
  ({ root, sizeBytes, level: 'content', atMs, stamp }) as const;

type Verdict =
  | { readonly kind: 'right' | 'gone' | 'unknown' }
  | { readonly kind: 'damaged' | 'replaced'; readonly what: string };

async function compareOne(epoch: EpochSurvey, ref: WalIndexRef, options: StageOptions): Promise<Verdict> {
  let opened: OpenedWalIndex | undefined;
  let stored: readonly SegmentIndex[];
  let blocks: readonly ChangedBlocks[];
  try {
    opened = await epoch.archive.index.open(ref, options);
    if (opened === undefined) return { kind: 'gone' };
    [stored, blocks] = [await Array.fromAsync(opened.details()), await opened.blocks()];
    await opened.state();
  } catch (error) {
    if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT')) throw error;
    return { kind: 'damaged', what: whatIn(error) };
  }
  return new Comparison(epoch, ref, options).compare(stored, blocks);
}

/** Reads the segments of one object again. */
class Comparison {
  readonly #epoch: EpochSurvey;
  readonly #ref: WalIndexRef;
  readonly #options: StageOptions;
  /** Whether what comes before these segments is known. */
  #knowsBefore = false;

  constructor(epoch: EpochSurvey, ref: WalIndexRef, options: StageOptions) {
    this.#epoch = epoch;
    this.#ref = ref;
    this.#options = options;
  }

  async compare(stored: readonly SegmentIndex[], blocks: readonly ChangedBlocks[]): Promise<Verdict> {
    let reader = this.#reader((timeline, start) => this.#stateBefore(timeline, start));
    let isThrough = true;
    for (const index of stored) {
      const again = await this.#read(reader, index);
      if (again === undefined) return { kind: 'unknown' };
      if (isSame(again, index)) continue;
      // It was made before what comes before it was indexed, or after something damaged: then that knew no more than this.
      reader = this.#reader(async () => undefined);
      isThrough = false;
      const anew = await this.#read(reader, index);
      if (anew !== undefined && isSame(anew, index)) continue;
      // What it began with is gone, and with it what was known of transactions that began earlier.
      if (!this.#knowsBefore && isAlike(again, index)) continue;
      const name = this.#nameOf(index);
      return {
        kind: 'replaced',
        what: `it tells of WAL segment ${name} what is not in it: ${differences(index, again)}`,
      };
    }
    if (isThrough && this.#knowsBefore && !isDeepStrictEqual(reader.takeBlocks(), blocks))
      return { kind: 'replaced', what: 'it tells of other changed blocks than the WAL does' };
    return { kind: 'right' };
  }

  #nameOf({ timeline, startLsn }: SegmentIndex): string {
    const { segmentSizeBytes } = this.#epoch.inventory;
    return segmentName(timeline, startLsn / BigInt(segmentSizeBytes), segmentSizeBytes);
  }

  /** `undefined` where the segment is damaged or not there, which is told where segments are checked. */
  async #read(reader: RunReader, { timeline, startLsn }: SegmentIndex): Promise<SegmentIndex | undefined> {
    const number = startLsn / BigInt(this.#epoch.inventory.segmentSizeBytes);
    if (this.#epoch.wal.get(segmentName(timeline, number, this.#epoch.inventory.segmentSizeBytes)) === undefined)
      return undefined;
    return (await reader.read(timeline, { first: number, last: number })).segments[0];
  }

  #reader(stateBefore: ConstructorParameters<typeof RunReader>[1]['stateBefore']): RunReader {
    const { archive, inventory, histories } = this.#epoch;
    const { signal } = this.#options;
    return new RunReader(
      { archive, inventory, histories, backups: [] },
      { signal, stateBefore, onSegment: () => undefined },
    );
  }

  async #stateBefore(timeline: TimelineId, start: Lsn): Promise<StateBefore | undefined> {
    const ref = refBefore(this.#epoch.indexes, this.#epoch, timeline, start);
    if (ref === undefined) return undefined;
    try {
      const state = await (await this.#epoch.archive.index.open(ref, this.#options))?.state();
      this.#knowsBefore ||= state !== undefined && ref.endLsn === this.#ref.startLsn;
      return state && { ref, state };
    } catch (error) {
      if (!hasCode(error, 'CORRUPT', 'REPOSITORY_FORMAT')) throw error;
      return undefined;
    }
  }
}

/** Names are left out: which are known depends on the backups that there were. */
const isSame = (one: SegmentIndex, other: SegmentIndex): boolean =>
  isDeepStrictEqual({ ...one, notes: undefined }, { ...other, notes: undefined });

const FACTS = ['commits', 'aborts', 'times', 'xids', 'fault'] as const;

/** All that does not depend on what came before. */
const isAlike = (one: SegmentIndex, other: SegmentIndex): boolean =>
  FACTS.every((fact) => isDeepStrictEqual(one[fact], other[fact])) && Math.abs(one.records - other.records) <= 1;

const NAMES = {
  records: 'records',
  commits: 'commits',
  aborts: 'aborts',
  times: 'times',
  xids: 'xids',
  fault: 'damage',
  relations: 'rows per table',
  transactions: 'transactions',
  folded: 'transactions alike',
  facts: 'other facts',
} as const satisfies Partial<Record<keyof SegmentIndex, string>>;

function differences(stored: SegmentIndex, read: SegmentIndex): string {
  const keys = Object.keys(NAMES) as (keyof typeof NAMES)[];
  return keys
    .filter((key) => !isDeepStrictEqual(stored[key], read[key]))
    .map((key) => NAMES[key])
    .join(', ');
}

/** What reading the segments costs that an object tells of. */
function costOfWal(epoch: EpochSurvey, { timeline, startLsn, endLsn }: WalIndexRef): Omit<Cost, 'objects'> {
  const { inventory } = epoch;
  const { segmentSizeBytes } = inventory;
  let [readBytes, requests] = [0, 0];
  for (const { first, last } of within(inventory.ranges(timeline), { from: startLsn, to: endLsn }, segmentSizeBytes))
    for (let number = first; number <= last; number += 1n) {
      readBytes += walObject(epoch, segmentName(timeline, number, segmentSizeBytes))?.sizeBytes ?? 0;
      requests += 1;
    }
  return { readBytes, requests };
}
