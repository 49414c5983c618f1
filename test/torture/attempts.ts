/**
 * One kill each. An attempt resolves with false when its victim had ended before the signal came, and throws when what is
 * left behind is not as it must be.
 * @packageDocumentation
 */
import { access, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { Cluster, type Ledger, type Random, readLedger } from '@keyframe/testkit/postgres';
import { faultOf, type Running } from '../e2e/support/keyframe.ts';
import { PATIENCE_MS, type Site, switchWal } from '../e2e/support/site.ts';
import { kill9, killArchiver, waitForPush, waitForWalCommand } from './processes.ts';

export const VICTIMS = ['backup', 'push', 'restore', 'fetch', 'postgres'] as const;
export type Victim = (typeof VICTIMS)[number];

export interface Attempt {
  readonly site: Site;
  /** Runs all the while. */
  readonly ledger: Ledger;
  readonly random: Random;
  /** Labels of the base backups that reported success. */
  readonly backups: Set<string>;
}

type Kill = (attempt: Attempt) => Promise<boolean>;

/** How long each of them takes undisturbed, measured as we go: moments are drawn from the whole of it. */
const usualMs: Record<'backup' | 'restore' | 'push' | 'fetch', number> = {
  backup: 1500,
  restore: 1500,
  push: 400,
  fetch: 400,
};

export const attempts: Readonly<Record<Victim, Kill>> = {
  backup: async (attempt) => {
    const { site, backups, random } = attempt;
    const running = site.spawn(['backup']);
    const hit = await killWithin(running, 'backup', random);
    if (!hit) {
      backups.add(labelOf((await running.ended).stdout));
      return false;
    }
    await nothingNewButWhole(attempt);
    backups.add((await site.backup()).label);
    return true;
  },

  push: async ({ site, random }) => {
    const { origin } = site;
    const segment = await switchWal(origin);
    const found = await waitForPush(site.directory, 10_000);
    if (found === undefined) return false;
    await sleep(random.fraction() * usualMs.push);
    const hit = kill9(found.pid);
    // At times everything that archives dies, shells included.
    if (hit && random.chance(0.3)) await killArchiver(site.directory);
    await archived(site, segment);
    return hit;
  },

  restore: async (attempt) => {
    const { site, random } = attempt;
    const known = new Set(attempt.ledger.acknowledged);
    await site.archiveAll();
    const to = site.freshPath('killed');
    const command = ['restore', '--latest', '--to', to, '--no-sync'];
    const hit = await killWithin(site.spawn(command), 'restore', random);
    if (hit) await assertUnstartable(to);
    // The same command again, with nothing cleaned up by hand, unless the killed one had come to its end.
    if (!(await isComplete(to))) await site.report(command);
    await using cluster = await Cluster.attach(to);
    await cluster.start({ timeoutMs: PATIENCE_MS });
    await cluster.waitPromoted(PATIENCE_MS);
    await assertHolds(cluster, known, attempt.ledger);
    await cluster.stop('immediate');
    await rm(to, { recursive: true });
    return hit;
  },

  fetch: async (attempt) => {
    const { site, random } = attempt;
    const known = new Set(attempt.ledger.acknowledged);
    await site.archiveAll();
    const { directory } = await site.restore(['--latest'], site.freshPath('fetching'));
    await using cluster = await Cluster.attach(directory);
    await cluster.launch();
    for (let skipped = random.between(0, 3); skipped > 0; skipped -= 1) await nextFetch(cluster);
    const found = await waitForWalCommand(cluster.pid ?? 0, 'fetch', 3000);
    await sleep(random.fraction() * usualMs.fetch);
    const hit = found !== undefined && kill9(found.pid);
    if (hit && random.chance(0.3)) kill9(found.shell);
    if (hit) await settle(cluster);
    // Whatever it stopped at, PostgreSQL started again goes on where it was.
    if (cluster.pid === undefined) await cluster.launch();
    await cluster.waitPromoted(PATIENCE_MS);
    await assertHolds(cluster, known, attempt.ledger);
    await cluster.stop('immediate');
    await rm(directory, { recursive: true });
    return hit;
  },

  postgres: async (attempt) => {
    const { site, random, backups } = attempt;
    const running = site.spawn(['backup']);
    await sleep(random.fraction() * usualMs.backup);
    const hit = running.child.exitCode === null;
    await site.origin.kill9();
    const ended = await running.ended;
    if (ended.status === 0) backups.add(labelOf(ended.stdout));
    else faultOf(ended, 'backup'); // a typed one, with a code
    await site.origin.start();
    await nothingNewButWhole(attempt);
    backups.add((await site.backup()).label);
    return hit && ended.status !== 0;
  },
};

const labelOf = (stdout: string): string => (JSON.parse(stdout) as { label: string }).label;

/** Kills at a moment within the usual duration; false when it was over before. */
async function killWithin(running: Running, what: 'backup' | 'restore', random: Random): Promise<boolean> {
  const started = performance.now();
  const ended = running.ended.then(() => true);
  const over = await Promise.race([ended, sleep(random.fraction() * usualMs[what], false)]);
  if (!over && kill9(running.pid) && (await running.ended).status === 137) return true;
  const { status, stderr, stdout } = await running.ended;
  if (status !== 0) throw new Error(`${what} ended by itself with ${status}: ${stdout}${stderr}`);
  usualMs[what] = performance.now() - started;
  return false;
}

/** What is listed reported success, or had published in full before the kill; what is half is told of as unfinished. */
async function nothingNewButWhole({ site, backups }: Attempt): Promise<void> {
  const { backups: listed, unfinished } = await site.list();
  for (const label of backups)
    if (!listed.some((each) => each.label === label)) throw new Error(`backup ${label} is not listed any more`);
  for (const { label } of listed) {
    if (unfinished.some((each) => each.label === label)) throw new Error(`${label} is listed and unfinished`);
    if (!backups.has(label)) await site.report(['show', label, '--files']);
  }
}

async function archived(site: Site, segment: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while ((await site.origin.sql("select coalesce(max(last_archived_wal), '') from pg_stat_archiver")) < segment) {
    if (performance.now() > deadline) throw new Error(`${segment} was never archived after the kill`);
    await sleep(100);
  }
}

const exists = (path: string): Promise<boolean> =>
  access(path).then(
    () => true,
    () => false,
  );

const isComplete = async (directory: string): Promise<boolean> =>
  (await exists(join(directory, 'global', 'pg_control'))) &&
  !(await exists(join(directory, '.keyframe-restore-incomplete')));

/** PostgreSQL must refuse a directory that is not whole. */
async function assertUnstartable(directory: string): Promise<void> {
  if (!(await exists(join(directory, 'PG_VERSION'))) || (await exists(join(directory, 'global', 'pg_control')))) return;
  await using cluster = await Cluster.attach(directory);
  const started = await cluster.start().then(
    () => true,
    () => false,
  );
  if (started) throw new Error('PostgreSQL started on half a restore');
}

async function assertHolds(cluster: Cluster, known: ReadonlySet<number>, ledger: Ledger): Promise<void> {
  const { xids, problems } = await readLedger(cluster);
  const lost = [...known.difference(xids)];
  const foreign = [...xids.difference(ledger.attempted)];
  if (lost.length > 0)
    throw new Error(`${lost.length} acknowledged transactions are lost: ${lost.slice(0, 5).join(', ')}`);
  if (foreign.length > 0) throw new Error(`transactions from nowhere: ${foreign.slice(0, 5).join(', ')}`);
  if (problems.length > 0) throw new Error(problems.join('\n'));
}

async function nextFetch(cluster: Cluster): Promise<void> {
  const found = await waitForWalCommand(cluster.pid ?? 0, 'fetch', 2000);
  if (found === undefined) return;
  while (await exists(`/proc/${found.pid}`)) await sleep(5);
}

/** Until recovery has stopped for want of the killed command, or has promoted since the command had done its work. */
async function settle(cluster: Cluster): Promise<void> {
  await Promise.race([cluster.waitExit(), cluster.waitPromoted(PATIENCE_MS).catch(() => undefined)]);
}
