/**
 * One eventful life of a database cluster: base backups under load, a crash, a recovery to a moment in the past that
 * becomes the cluster's continuation, the old primary going on meanwhile, a base backup on the new timeline.
 * @packageDocumentation
 */
import { link, mkdir, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { type Lsn, parseLsn, type TimelineId } from '@keyframe/contracts';
import { type Cluster, Ledger, type Major, Oracle, type Random, readWal } from '@keyframe/testkit/postgres';
import type { AdoptFacts, BackupFacts } from '../e2e/support/reports.ts';
import type { Site, SiteOptions } from '../e2e/support/site.ts';

export interface Story {
  readonly oracle: Oracle;
  /** Base backups, oldest first. The last one is of the newest timeline. */
  readonly backups: readonly BackupFacts[];
  /** Where the newest timeline leaves the first one. */
  readonly fork: Lsn;
}

/** What a story is made of. */
export interface StoryOptions {
  readonly major: Major;
  readonly random: Random;
  /** What the repository is. */
  readonly shape: Pick<SiteOptions, 'encrypt' | 'stores'>;
}

/** How long each stretch of the story lasts, milliseconds. */
const STRETCH_MS = 900;

/** Lives through it all on that site. The ledger of the first timeline runs from the beginning to the end of its branch. */
export async function tellStory(site: Site, { major, random, shape }: StoryOptions): Promise<Story> {
  const { origin } = site;
  await prepare(origin);
  const first = await Ledger.open(origin, { seed: random.between(0, 2 ** 31) });
  first.start();
  await stretch(origin, 'before any backup');
  const backups = [await site.backup()];
  await stretch(origin, 'between backups');
  await site.backup(readBy(random));
  await origin.kill9();
  await origin.start();
  await stretch(origin, 'after a crash');
  backups.push(await site.backup(readBy(random)));
  await stretch(origin, 'after backups');
  const forkTime = await origin.sql(
    "select to_char(clock_timestamp() at time zone 'UTC', 'YYYY-MM-DD HH24:MI:SS.US+00')",
  );
  await stretch(origin, 'on the dead branch');
  // Nothing of the continuation may be built on this one: it starts behind the fork.
  const dead = await site.backup(readBy(random));
  await site.archiveAll();
  const continued = await continueFrom(site, forkTime, shape);
  await stretch(origin, 'late on the dead branch');
  await first.stop();
  await site.archiveAll();
  const prepared = await continued.cluster.sql('select transaction from pg_prepared_xacts');
  const second = await Ledger.open(continued.cluster, { seed: random.between(0, 2 ** 31) });
  second.start();
  await stretch(continued.cluster, 'on the new timeline');
  const newest = await site.report<BackupFacts>(['backup'], { config: continued.config });
  if (newest.parent === dead.label) throw new Error('a backup of the new timeline builds on the dead branch');
  backups.push(newest);
  await stretch(continued.cluster, 'late on the new timeline');
  await second.stop();
  const last = await site.archiveAll(continued.cluster);
  const wal = await readWal(major, [join(origin.data, 'pg_wal'), await completeWal(site, continued.cluster, last)]);
  await continued.cluster.stop();
  const began = new Map<TimelineId, ReadonlySet<number>>([
    [1, first.attempted],
    [2, second.attempted.union(new Set(prepared.split('\n').filter(Boolean).map(Number)))],
  ]);
  return { oracle: new Oracle(wal, began), backups, fork: parseLsn(continued.adopted.forkedAt) };
}

/** One of the ways to take an increment. */
function readBy(random: Random): string[] {
  return random.pick([[], ['--from', 'local'], ['--type', 'full']]);
}

/** pg_amcheck needs its extension in every database, and must find something in each. */
async function prepare(origin: Cluster): Promise<void> {
  await origin.sql('create extension amcheck', { database: 'template1' });
  await origin.sql('create extension amcheck');
}

/** Some time under load, with a restore point and a WAL switch in it. */
async function stretch(cluster: Cluster, name: string): Promise<void> {
  await sleep(STRETCH_MS / 3);
  await cluster.sql(`select pg_create_restore_point('${name}')`);
  await sleep(STRETCH_MS / 3);
  await cluster.sql('select pg_switch_wal()');
  await sleep(STRETCH_MS / 3);
}

interface Continued {
  readonly cluster: Cluster;
  readonly config: string;
  readonly adopted: AdoptFacts;
}

/** Recovers to that time, adopts the result and restarts it, so that it archives on the new timeline. */
async function continueFrom(site: Site, time: string, shape: StoryOptions['shape']): Promise<Continued> {
  const cluster = await site.recover(['--time', time]);
  const config = join(site.directory, 'continued.yaml');
  await site.writeConfig(shape, cluster.url, config);
  const adopt = ['adopt', '--data-directory', cluster.data];
  const adopted = await site.report<AdoptFacts>(adopt, { config });
  await cluster.restart();
  const again = await site.report<AdoptFacts>(adopt, { config });
  if (again.gapFrom !== undefined || again.timeline !== 2)
    throw new Error(`not adopted whole: ${JSON.stringify(again)}`);
  return { cluster, config, adopted };
}

/** The new timeline's segments up to that one, those from before archiving was on included. */
async function completeWal(site: Site, cluster: Cluster, last: string): Promise<string> {
  const from = join(cluster.data, 'pg_wal');
  const directory = join(site.directory, 'witness');
  await mkdir(directory);
  for (const name of await readdir(from)) {
    const isComplete = /^00000002[0-9A-F]{16}$/.test(name) && name <= last;
    if (isComplete || name === '00000002.history') await link(join(from, name), join(directory, name));
  }
  return directory;
}
