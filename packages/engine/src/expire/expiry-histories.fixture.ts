/** Random histories of a cluster, and what happens in them. @packageDocumentation */
import { hasCode } from '@keyframe/contracts';
import * as fc from 'fast-check';
import { addHold, removeHold } from './holds.ts';
import { assertTruths } from './expiry-truths.fixture.ts';
import { DAY_MS, HOUR_MS, World } from './expiry-model.fixture.ts';
import type { RetentionPolicy } from './policy.ts';
import { undelete } from './undelete.ts';

/** One thing that happens. */
type Step =
  | { readonly kind: 'push' | 'fork'; readonly count: number }
  | { readonly kind: 'backup' | 'begin'; readonly full: boolean }
  | { readonly kind: 'finish' | 'kill' | 'abandon' }
  | { readonly kind: 'expire' | 'undelete' }
  | { readonly kind: 'advance'; readonly hours: number }
  | { readonly kind: 'hold'; readonly which: number; readonly hours: number }
  | { readonly kind: 'unhold' };

/** A policy and what happens under it. */
interface History {
  readonly policy: RetentionPolicy;
  readonly steps: readonly Step[];
}

/** What happened how often. */
export interface Played {
  readonly expired: number;
  readonly removed: number;
  readonly segments: number;
  readonly undeleted: number;
  readonly refused: number;
  readonly forks: number;
}

const maybe = (least: number, most: number): fc.Arbitrary<number | undefined> =>
  fc.option(fc.integer({ min: least, max: most }), { nil: undefined, freq: 1 });

const POLICY: fc.Arbitrary<RetentionPolicy> = fc
  .record({
    windowHours: maybe(1, 72),
    count: maybe(1, 3),
    daily: maybe(1, 4),
    monthly: maybe(1, 2),
    minFull: maybe(1, 2),
    graceHours: fc.constantFrom(0, 0, 1, 24),
    wal: fc.constantFrom('window' as const, 'window' as const, 'all' as const),
  })
  .map(({ windowHours, graceHours, ...rest }) =>
    Object.assign(rest, {
      windowMs: windowHours === undefined ? undefined : windowHours * HOUR_MS,
      graceMs: graceHours * HOUR_MS,
    }),
  );

const STEP: fc.Arbitrary<Step> = fc.oneof(
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('push' as const), count: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 8, arbitrary: fc.record({ kind: fc.constant('backup' as const), full: fc.boolean() }) },
  { weight: 2, arbitrary: fc.record({ kind: fc.constant('begin' as const), full: fc.boolean() }) },
  { weight: 2, arbitrary: fc.constant({ kind: 'finish' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'kill' as const }) },
  { weight: 1, arbitrary: fc.constant({ kind: 'abandon' as const }) },
  { weight: 10, arbitrary: fc.constant({ kind: 'expire' as const }) },
  { weight: 3, arbitrary: fc.constant({ kind: 'undelete' as const }) },
  { weight: 7, arbitrary: fc.record({ kind: fc.constant('advance' as const), hours: fc.constantFrom(1, 6, 25, 49) }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('fork' as const), count: fc.integer({ min: 0, max: 4 }) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constant('hold' as const), which: fc.nat(9), hours: fc.constantFrom(30, 200) }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: 'unhold' as const }) },
);

/** Histories that shrink to the shortest that fails. */
const HISTORY: fc.Arbitrary<History> = fc.record({
  policy: POLICY,
  steps: fc.array(STEP, { minLength: 8, maxLength: 24 }),
});

/** Plays so many histories; throws with the shortest in which something does not stay true. */
export async function playHistories(numRuns: number, seed?: number): Promise<Played> {
  const total = { expired: 0, removed: 0, segments: 0, undeleted: 0, refused: 0, forks: 0 };
  const one = async (history: History): Promise<void> => {
    const played = await playHistory(history);
    for (const name of Object.keys(total) as (keyof Played)[]) total[name] += played[name];
  };
  await fc.assert(fc.asyncProperty(HISTORY, one), { numRuns, ...(seed === undefined ? {} : { seed }) });
  return total;
}

/** Plays a history; throws as soon as something is not true any more. */
async function playHistory({ policy, steps }: History): Promise<Played> {
  const world = await World.create(policy);
  const played = { expired: 0, removed: 0, segments: 0, undeleted: 0, refused: 0, forks: 0 };
  for (const step of steps) {
    await play(world, step, played);
    // Time alone and more WAL take nothing away.
    if (step.kind !== 'push' && step.kind !== 'advance') await assertTruths(world);
  }
  return played;
}

type Count = { -readonly [Name in keyof Played]: number };

async function play(world: World, step: Step, played: Count): Promise<void> {
  switch (step.kind) {
    case 'push':
      return world.push(step.count);
    case 'advance':
      return world.advance(step.hours * HOUR_MS);
    case 'fork':
      played.forks += 1;
      return world.fork(step.count);
    case 'expire':
      return expire(world, played);
    case 'undelete':
      played.undeleted += (await undeleteOldest(world)) ? 1 : 0;
      return;
    case 'hold':
      return hold(world, step);
    case 'unhold':
      return unhold(world);
    case 'backup':
    case 'begin':
    case 'finish':
    case 'kill':
    case 'abandon':
      return playBackup(world, step, played);
  }
}

type BackupStep = Extract<Step, { kind: 'backup' | 'begin' | 'finish' | 'kill' | 'abandon' }>;

async function playBackup(world: World, step: BackupStep, played: Count): Promise<void> {
  const { open } = world;
  if (step.kind === 'backup' || step.kind === 'begin') {
    if (open !== undefined) return;
    await world.begin(step.full ? 'full' : 'incremental');
    if (step.kind === 'backup') await world.finish();
  } else if (step.kind === 'finish') {
    if (open !== undefined && (await world.finish()) === 'refused') played.refused += 1;
  } else {
    world.kill();
    if (step.kind === 'abandon') await open?.writer.abandon(new Error('given up'));
  }
}

async function expire(world: World, played: Count): Promise<void> {
  const { waiting, removed } = await world.expire();
  played.expired += waiting.length;
  played.removed += removed.backups.length;
  played.segments += removed.segments;
}

async function hold(world: World, { which, hours }: { readonly which: number; readonly hours: number }): Promise<void> {
  const listed = await world.epoch.backups.list();
  const label = listed[which % Math.max(1, listed.length)]?.label;
  const until = new Date(world.nowMs + hours * HOUR_MS).toISOString();
  if (label !== undefined) await addHold(world.context(), { label, wal: false, until, reason: 'test' });
}

async function unhold(world: World): Promise<void> {
  const [first] = await (await world.context().history.retention()).holds.list();
  if (first !== undefined) await removeHold(world.context(), first.id);
}

async function undeleteOldest(world: World): Promise<boolean> {
  const { tombstones } = await world.context().history.retention();
  const entry = (await tombstones.read()).state.backups.find(
    ({ kind, phase }) => kind === 'backup' && phase !== 'fenced',
  );
  if (entry === undefined) return false;
  const until = new Date(world.nowMs + 2 * DAY_MS).toISOString();
  try {
    await undelete(world.context(), { label: entry.label, until });
  } catch (error) {
    if (!hasCode(error, 'BACKUP_NOT_FOUND')) throw error;
    return false;
  }
  const past = world.backups.find(({ record }) => record.label === entry.label);
  if (past !== undefined) await world.restore(past);
  return true;
}
