/** Shows that the oracle is exact: PostgreSQL's own recovery, without anything of ours, must agree with it. */
import { appendFile, cp, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseLsn, segmentNameAt } from '@keyframe/contracts';
import { expect, test } from 'vitest';
import {
  announcedSeed,
  Cluster,
  describeTarget,
  differences,
  Ledger,
  type LedgerTarget,
  Oracle,
  postgresMajors,
  Random,
  readLedger,
  readWal,
  recoverySettings,
} from '../src/postgres.ts';
import { parseHistoryFile } from '../src/ledger-waldump.ts';

interface Site {
  readonly home: string;
  readonly archive: string;
  readonly base: string;
}

const settingsOf = ({ archive }: Site) => ({
  archive_mode: 'on',
  archive_command: `test ! -f ${archive}/%f && cp %p ${archive}/%f.tmp && mv ${archive}/%f.tmp ${archive}/%f`,
  max_prepared_transactions: 20,
  max_wal_size: '64MB',
});

async function archiveAll(cluster: Cluster): Promise<void> {
  const last = await cluster.sql('select pg_walfile_name(pg_switch_wal())');
  for (let waited = 0; (await cluster.sql('select last_archived_wal from pg_stat_archiver')) < last; waited += 1) {
    if (waited > 600) throw new Error(`${last} was not archived`);
    await sleep(50);
  }
}

/** A copy of the base backup, recovered by PostgreSQL itself. */
async function recover(site: Site, name: string, settings: Readonly<Record<string, string>>): Promise<Cluster> {
  const data = path.join(site.home, name);
  await cp(site.base, data, { recursive: true, mode: 0 });
  const own = { ...settings, restore_command: `cp ${site.archive}/%f %p`, recovery_target_action: 'promote' };
  const lines = Object.entries(own).map(([key, value]) => `${key} = '${value}'\n`);
  await appendFile(path.join(data, 'postgresql.auto.conf'), lines.join(''));
  await writeFile(path.join(data, 'recovery.signal'), '');
  await placeForkSegments(site, data);
  return Cluster.attach(data);
}

/**
 * PostgreSQL reads the state of a transaction that was prepared before a fork from the parent's segment, and only from
 * pg_wal. Archive recovery has restored the same bytes under the child's name, so without this it ends in
 * "requested WAL segment … has already been removed" whenever a transaction is prepared at the fork.
 */
async function placeForkSegments({ archive }: Site, data: string): Promise<void> {
  for (const name of (await readdir(archive)).filter((file) => file.endsWith('.history'))) {
    const text = await readFile(path.join(archive, name), 'utf8');
    const { ancestors } = parseHistoryFile(Number.parseInt(name, 16), text);
    for (const { timeline, end } of ancestors) {
      const segment = segmentNameAt(timeline, end, 1 << 20);
      await cp(path.join(archive, segment), path.join(data, 'pg_wal', segment));
    }
  }
}

/** Recovers to `target` and tells how the result differs from what the oracle says. */
async function compare(site: Site, oracle: Oracle, target: LedgerTarget): Promise<readonly string[]> {
  const name = `to-${Math.random().toString(36).slice(2)}`;
  await using cluster = await recover(site, name, recoverySettings(target));
  await cluster.start({ settings: { archive_mode: 'off' } });
  await cluster.waitPromoted();
  const found = differences(await readLedger(cluster), oracle.expectedAt(target).xids);
  await cluster.stop('immediate');
  await rm(path.join(site.home, name), { recursive: true });
  return found;
}

async function disagreements(site: Site, oracle: Oracle, targets: readonly LedgerTarget[]): Promise<string[]> {
  const found: string[] = [];
  for (const target of targets) {
    const list = await compare(site, oracle, target);
    found.push(...list.map((difference) => `${describeTarget(target)}: ${difference}`));
  }
  return found;
}

/** Takes a base backup while the ledger runs; its end is where targets may begin. */
async function baseBackup(cluster: Cluster, site: Site): Promise<{ start: string; from: string }> {
  await cluster.exec('pg_basebackup', ['-D', site.base, '-c', 'fast', '-X', 'none', '--no-sync']);
  const from = await cluster.sql('select pg_current_wal_lsn()');
  const label = await readFile(path.join(site.base, 'backup_label'), 'utf8');
  return { start: /START WAL LOCATION: (\S+)/.exec(label)?.[1] ?? '', from };
}

test.each(postgresMajors([17]))('PostgreSQL %i recovers to what the oracle says, over two timelines', async (major) => {
  const random = new Random(announcedSeed(`oracle on PostgreSQL ${major}`));
  const home = await mkdtemp(path.join(tmpdir(), 'kf-oracle-'));
  const site: Site = { home, archive: path.join(home, 'archive'), base: path.join(home, 'base') };
  await mkdir(site.archive);
  try {
    await using cluster = await Cluster.create(major, { walSegmentSizeMiB: 1, settings: settingsOf(site) });
    await cluster.start();
    const ledger = await Ledger.open(cluster, { seed: random.fork().seed });
    ledger.start();
    await sleep(500);
    const { start, from } = await baseBackup(cluster, site);
    for (const name of ['first point', 'second point']) {
      await sleep(700);
      await cluster.sql(`select pg_create_restore_point('${name}')`);
    }
    await sleep(700);
    await ledger.stop();
    await archiveAll(cluster);

    const oracle = new Oracle(await readWal(major, [site.archive]), new Map([[1, ledger.attempted]]));
    const live = await readLedger(cluster);
    expect(differences(live, oracle.expectedAt({ kind: 'latest' }).xids)).toEqual([]);
    expect(ledger.acknowledged.difference(live.xids)).toEqual(new Set());
    expect(ledger.attempted.size).toBeGreaterThan(live.xids.size);
    expect(live.chain).toBeGreaterThan(50);

    const bounds = { from: parseLsn(from), backupStart: parseLsn(start) };
    const targets = oracle.randomTargets(9, random, { ...bounds, timeline: 1 });
    expect(targets).toHaveLength(9);
    expect(await disagreements(site, oracle, targets)).toEqual([]);

    // A recovery to the middle goes on as timeline 2 and archives beside the branch that it left.
    const [fork = { kind: 'latest' } as const] = oracle.randomTargets(1, random, bounds);
    await using second = await recover(site, 'second', recoverySettings(fork));
    await second.start();
    await second.waitPromoted();
    const ledger2 = await Ledger.open(second, { seed: random.fork().seed });
    expect(ledger2.timeline).toBe(2);
    await ledger2.run(700);
    await archiveAll(second);

    const ledgers = new Map([ledger, ledger2].map((each) => [each.timeline, each.attempted]));
    const both = new Oracle(await readWal(major, [site.archive]), ledgers);
    expect(both.timelines).toEqual([1, 2]);
    expect(differences(await readLedger(second), both.expectedAt({ kind: 'latest' }).xids)).toEqual([]);
    const later = both.randomTargets(2, random, bounds);
    const dead = both.randomTargets(1, random, { ...bounds, timeline: 1 });
    expect(await disagreements(site, both, [...later, ...dead])).toEqual([]);
  } finally {
    await rm(home, { recursive: true, force: true });
  }
});

test('the ledger goes on after the server was killed, and loses nothing acknowledged', async () => {
  const random = new Random(announcedSeed('ledger and kill -9'));
  await using cluster = await Cluster.create(17, {
    settings: { max_prepared_transactions: 20, fsync: true, archive_mode: 'on', archive_command: 'false' },
  });
  await cluster.start();
  const ledger = await Ledger.open(cluster, { seed: random.seed, pauseMs: 1 });
  ledger.start();
  for (let round = 0; round < 3; round += 1) {
    await sleep(random.between(100, 400));
    await cluster.kill9();
    await cluster.start();
  }
  await sleep(300);
  await ledger.stop();
  await cluster.sql('select pg_switch_wal()');
  expect(await cluster.sql('select count(*) from pg_prepared_xacts')).toBe('0');
  const state = await readLedger(cluster);
  expect(state.problems).toEqual([]);
  expect(ledger.acknowledged.difference(state.xids)).toEqual(new Set());
  expect(ledger.acknowledged.size).toBeGreaterThan(100);
  // Nothing was archived, so all of it is read from pg_wal.
  const oracle = new Oracle(
    await readWal(17, [path.join(cluster.data, 'pg_wal')]),
    new Map([[ledger.timeline, ledger.attempted]]),
  );
  expect(differences(state, oracle.expectedAt({ kind: 'latest' }).xids)).toEqual([]);
});

const damages = {
  'a torn transaction': 'delete from ledger where part = 2 and xid = (select max(xid) from ledger where parts > 1)',
  'a row of a rolled back savepoint': 'insert into ledger select xid, 90, 3, 1 from ledger limit 1',
  'a lost chain row': 'delete from ledger_chain where n = 3',
  'a changed chain row': "update ledger_chain set hash = 'x' where n = (select max(n) from ledger_chain)",
  'a chain row without its transaction': 'delete from ledger where xid = (select xid from ledger_chain where n = 2)',
  'half a transfer': 'update ledger_account set balance = balance + 1 where id = 1',
};

test('the check notices every kind of damage', async () => {
  await using cluster = await Cluster.create(17, { template: true, settings: { max_prepared_transactions: 20 } });
  await cluster.start();
  const ledger = await Ledger.open(cluster, { seed: 1 });
  await ledger.run(300);
  expect((await readLedger(cluster)).problems).toEqual([]);
  for (const [what, damage] of Object.entries(damages)) {
    const database = what.replaceAll(' ', '_');
    await cluster.sql(`create database ${database} template postgres`, { database: 'template1' });
    await cluster.sql(damage, { database });
    expect((await readLedger(cluster, database)).problems).not.toEqual([]);
  }
});
