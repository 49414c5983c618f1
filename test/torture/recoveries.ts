/** Recoveries to random targets of all kinds, each compared with what PostgreSQL's own tools say must be there. @packageDocumentation */
import { readdir, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { formatLsn, type Lsn, parseLsn } from '@keyframe/contracts';
import {
  Cluster,
  describeTarget,
  differences,
  formatMicros,
  type LedgerTarget,
  type Major,
  type Oracle,
  Random,
  readLedger,
} from '@keyframe/testkit/postgres';
import type { BackupFacts, PlanFacts } from '../e2e/support/reports.ts';
import { PATIENCE_MS, Site, type SiteOptions } from '../e2e/support/site.ts';
import { inParallel } from './processes.ts';
import { type Story, tellStory } from './story.ts';

export interface RecoveryOptions {
  readonly targets: number;
  readonly seed: number;
}

export interface RecoveryReport {
  readonly recovered: number;
  /** Targets by kind; `before-` stands for exclusive ones, `old` and `crossing` for the ways over the fork. */
  readonly kinds: Readonly<Record<string, number>>;
  /** One line per target that went wrong. */
  readonly failures: readonly string[];
  readonly commits: number;
  readonly storySeconds: number;
  readonly seconds: number;
  /** What the repository was: plain, with several `stores`, or with `encrypt`. */
  readonly shape: string;
}

interface Aim {
  readonly target: LedgerTarget;
  readonly label: string;
  readonly args: readonly string[];
}

/** Two at a time: one replays while the other waits for a process to start. */
const WIDTH = 2;

/** Lives through a story and recovers to so many moments of it. */
export async function recoveries(major: Major, { targets, seed }: RecoveryOptions): Promise<RecoveryReport> {
  const started = performance.now();
  const random = new Random(seed);
  // With summaries, PostgreSQL 17 and later send increments by themselves.
  const settings = major >= 17 ? { summarize_wal: random.pick([true, false]) } : {};
  const walSegmentSizeMiB = random.pick([4, 16]);
  const shape = random.pick<Pick<SiteOptions, 'encrypt' | 'stores'>>([
    {},
    { stores: 3 },
    { encrypt: '[{ use: passphrase, passphrase: "the same words as always", work: 14 }]' },
  ]);
  await using site = await Site.create(major, { walSegmentSizeMiB, settings, dataDirectory: true, ...shape });
  const story = await tellStory(site, { major, random, shape });
  const told = performance.now();
  const aims = chooseAims(story, random, targets);
  const failures = (await inParallel(aims, WIDTH, (aim) => recoverOnce(site, story.oracle, aim))).flat();
  return {
    recovered: aims.length,
    kinds: tally(aims.map(({ label }) => label)),
    failures,
    commits: story.oracle.commits().length,
    storySeconds: Math.round((told - started) / 1000),
    seconds: Math.round((performance.now() - started) / 1000),
    shape: Object.keys(shape).join(),
  };
}

/** Mostly along the newest timeline; some on the branch that was left, some from before the fork to behind it. */
function chooseAims({ oracle, backups, fork }: Story, random: Random, count: number): Aim[] {
  const [oldest, second, newest] = backups;
  if (oldest === undefined || second === undefined || newest === undefined) throw new Error('too few backups');
  const old = Math.max(2, Math.floor(count / 5));
  const crossing = Math.max(1, Math.floor(count / 10));
  const draw = (wanted: number, from: Lsn, backup: BackupFacts | undefined, timeline: number): LedgerTarget[] => {
    const backupStart = backup === undefined ? undefined : parseLsn(backup.startLsn);
    const drawn = oracle.randomTargets(Math.max(wanted, 9), random, { from, timeline, backupStart });
    return wanted >= drawn.length ? [...drawn] : shuffled(drawn, random).slice(0, wanted);
  };
  const aim = (target: LedgerTarget, label: string, more: readonly string[]): Aim => ({
    target,
    label: label + kindOf(target),
    args: [...argumentsOf(target), ...more],
  });
  const immediate = ({ kind }: LedgerTarget, { label }: BackupFacts): string[] =>
    kind === 'immediate' ? ['--backup', label] : [];
  return [
    ...draw(count - old - crossing, parseLsn(oldest.stopLsn), newest, 2).map((each) =>
      aim(each, '', immediate(each, newest)),
    ),
    ...draw(old, fork, second, 1).map((each) => aim(each, 'old ', ['--timeline', '1', ...immediate(each, second)])),
    // Without a backup to begin from, none of them is `immediate`.
    ...draw(crossing, fork, undefined, 2).map((each) => aim(each, 'crossing ', ['--backup', oldest.label])),
  ];
}

function shuffled<Item>(items: readonly Item[], random: Random): Item[] {
  return items
    .map((item) => ({ item, at: random.fraction() }))
    .toSorted((a, b) => a.at - b.at)
    .map(({ item }) => item);
}

const kindOf = (target: LedgerTarget): string =>
  `${'inclusive' in target && !target.inclusive ? 'before-' : ''}${target.kind}`;

function tally(labels: readonly string[]): Record<string, number> {
  const counts: Record<string, number> = {};
  for (const label of labels.toSorted()) counts[label] = (counts[label] ?? 0) + 1;
  return counts;
}

/** The words by which a user says it. */
function argumentsOf(target: LedgerTarget): string[] {
  const exclusive = 'inclusive' in target && !target.inclusive ? ['--exclusive'] : [];
  switch (target.kind) {
    case 'time':
      return ['--time', formatMicros(target.timeMicros), ...exclusive];
    case 'xid':
      return [target.inclusive ? '--xid' : '--before-xid', String(target.xid)];
    case 'lsn':
      return ['--lsn', formatLsn(target.lsn), ...exclusive];
    case 'name':
      return ['--name', target.name];
    case 'immediate':
    case 'latest':
      return [`--${target.kind}`];
    default:
      return target satisfies never;
  }
}

/** What went wrong, each with the target it happened at. */
async function recoverOnce(site: Site, oracle: Oracle, aim: Aim): Promise<string[]> {
  const directory = site.freshPath('target');
  const where = `${describeTarget(aim.target)} (${aim.args.join(' ')})`;
  try {
    const { plan } = await site.restore(aim.args, directory);
    await using cluster = await Cluster.attach(directory);
    const wrong = await examine(cluster, plan, oracle.expectedAt(aim.target).xids).catch(async (error: unknown) => [
      `${String(error)}\n${(await cluster.log()).split('\n').slice(-30).join('\n')}`,
    ]);
    return [...wrong, ...misplanned(plan, oracle, aim.target)].map(
      (each) => `${where}, from backup ${plan.backup.label}: ${each}`,
    );
  } catch (error) {
    return [`${where}: ${String(error)}`];
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** Starts a restored directory and says how it differs; PostgreSQL's own checkers must be content too. */
async function examine(cluster: Cluster, plan: PlanFacts, expected: ReadonlySet<number>): Promise<readonly string[]> {
  await cluster.exec('pg_verifybackup', ['-n', cluster.data]);
  await cluster.start({ timeoutMs: PATIENCE_MS });
  await cluster.waitPromoted(PATIENCE_MS);
  const fork = await forkOf(cluster);
  const wrong = [
    ...differences(await readLedger(cluster), expected),
    ...(fork === plan.stopsAt ? [] : [`the plan stops at ${plan.stopsAt}, PostgreSQL did at ${fork}`]),
  ];
  await cluster.exec('pg_amcheck', ['--all']);
  await cluster.stop();
  await cluster.exec('pg_checksums', ['--check', '-D', cluster.data]);
  return wrong;
}

/** Where the timeline that a promotion began leaves its parent. */
async function forkOf(cluster: Cluster): Promise<string | undefined> {
  const directory = join(cluster.data, 'pg_wal');
  const newest = (await readdir(directory))
    .filter((name) => name.endsWith('.history'))
    .toSorted()
    .at(-1);
  const text = newest === undefined ? '' : await readFile(join(directory, newest), 'utf8');
  return [...text.matchAll(/^\d+\t([0-9A-F]+\/[0-9A-F]+)\t/gm)].at(-1)?.[1];
}

/** What the plan says is kept and lost, held against the oracle. */
function misplanned(plan: PlanFacts, oracle: Oracle, target: LedgerTarget): string[] {
  const { xids } = oracle.expectedAt(target);
  const ours = new Set(oracle.commits(target.timeline).map(({ xid }) => xid));
  const { lastKept, firstLost } = plan;
  return [
    ...(lastKept !== undefined && ours.has(lastKept.xid) && !xids.has(lastKept.xid)
      ? [`the plan keeps ${lastKept.xid}, which is lost`]
      : []),
    ...(firstLost !== undefined && xids.has(firstLost.xid) ? [`the plan loses ${firstLost.xid}, which is kept`] : []),
  ];
}
