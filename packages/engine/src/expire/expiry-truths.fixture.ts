/** What must be true of a {@link World} whatever happened, said without the code under test. @packageDocumentation */
import { expect } from 'vitest';
import type { PastBackup, PastMoment, World } from './expiry-model.fixture.ts';

const SEGMENT = 1n << 20n;
const segmentOf = (position: bigint): number => Number(position / SEGMENT);

/** Whatever is listed can be restored, and what the policy promises is there. */
export async function assertTruths(world: World): Promise<void> {
  await world.look();
  const listed = await world.epoch.backups.list();
  const past = new Map(world.backups.map((each) => [each.record.label, each]));
  for (const record of listed) {
    const known = past.get(record.label);
    if (known === undefined) throw new Error(`${record.label} is listed and was never published`);
    const manifest = await world.epoch.backups.manifest(record);
    for (const { key } of manifest.packs()) if (!world.keys.has(key)) throw new Error(`${record.label} lacks ${key}`);
    const whole = world.hasWal(record.timeline, segmentOf(record.startLsn), segmentOf(record.stopLsn - 1n));
    if (!whole) throw new Error(`${record.label} lacks its own WAL`);
  }
  const live = listed.flatMap(({ label }) => past.get(label) ?? []);
  const sample = live[world.nowMs % Math.max(1, live.length)];
  if (sample !== undefined) await world.restore(sample);
  assertWindow(world, live);
  assertCounts(world, live);
  expect(live.at(-1)?.record.label).toBe(world.backups.at(-1)?.record.label);
}

/** Every commit inside the window that was ever recoverable still is, on every timeline. */
function assertWindow(world: World, live: readonly PastBackup[]): void {
  const { windowMs } = world.policy;
  if (windowMs === undefined) return;
  for (const moment of world.moments) {
    if (moment.atMs < world.nowMs - windowMs) continue;
    if (isRecoverable(world, world.backups, moment, false) && !isRecoverable(world, live, moment, true))
      throw new Error(`segment ${moment.segment} of timeline ${moment.timeline} cannot be recovered any more`);
  }
}

/** A backup that ended before the moment, and with `withWal` every segment between, along the history of its timeline. */
export function isRecoverable(
  world: World,
  backups: readonly PastBackup[],
  { timeline, segment, lsn }: Omit<PastMoment, 'atMs'>,
  withWal: boolean,
): boolean {
  return backups.some(({ record }) => {
    const start = segmentOf(record.startLsn);
    if (record.stopLsn > lsn) return false;
    const path = pathTo(world, timeline, start, segment);
    // The backup must lie on the path from its start to its stop.
    for (let number = start; number <= segmentOf(record.stopLsn); number += 1)
      if (path.get(number)?.includes(record.timeline) !== true) return false;
    if (!isBeforeForks(world, timeline, record.timeline, record.stopLsn)) return false;
    return !withWal || [...path].every(([number, [owner = timeline]]) => world.hasWal(owner, number, number));
  });
}

/** For each segment the timelines whose copy fits the history, the child's first. */
function pathTo(world: World, timeline: number, from: number, to: number): Map<number, number[]> {
  const history = world.histories.find((each) => each.timeline === timeline);
  const path = new Map<number, number[]>();
  for (let number = from; number <= to; number += 1) {
    const owners: number[] = [];
    let begin = 0n;
    for (const ancestor of history?.ancestors ?? []) {
      const first = BigInt(number) * SEGMENT;
      if (begin / SEGMENT <= BigInt(number) && first < ancestor.end) owners.unshift(ancestor.timeline);
      begin = ancestor.end;
    }
    if (begin / SEGMENT <= BigInt(number)) owners.unshift(timeline);
    path.set(number, owners);
  }
  return path;
}

function isBeforeForks(world: World, timeline: number, of: number, stop: bigint): boolean {
  if (of === timeline) return true;
  const history = world.histories.find((each) => each.timeline === timeline);
  const fork = history?.ancestors.find((ancestor) => ancestor.timeline === of);
  return fork !== undefined && stop <= fork.end;
}

/** The last so many backups, and the last of each period, of all that were ever published. */
function assertCounts({ policy, backups }: World, live: readonly PastBackup[]): void {
  const labels = new Set(live.map(({ record }) => record.label));
  const wanted = [
    ...(policy.count === undefined ? [] : backups.slice(-policy.count)),
    ...lastPerPeriod(backups, policy.daily, 10),
    ...lastPerPeriod(backups, policy.monthly, 7),
    ...(policy.minFull === undefined
      ? []
      : backups.filter(({ record }) => record.type === 'full').slice(-policy.minFull)),
  ];
  for (const { record } of wanted) if (!labels.has(record.label)) throw new Error(`${record.label} is wanted and gone`);
}

function lastPerPeriod(backups: readonly PastBackup[], count = 0, digits: number): PastBackup[] {
  const periods = new Map<string, PastBackup>();
  for (const each of backups) periods.set(each.record.stoppedAt.slice(0, digits), each);
  return count === 0
    ? []
    : [...periods]
        .toSorted(([a], [b]) => (a < b ? -1 : 1))
        .slice(-count)
        .map(([, each]) => each);
}
