import { appendFile, cp, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import path from 'node:path';
import { type Lsn, lsn, parseLsn, parseWalFileName, segmentStart } from '@keyframe/contracts';
import { renderRecoverySettings } from '@keyframe/postgres';
import { Cluster } from '@keyframe/testkit/postgres';
import { createWalScanner, type WalFact } from '@keyframe/wal';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type FactScan,
  formatMicros,
  type Moment,
  type RecoveryTarget,
  type ReplayStart,
  requireMoment,
  type Resolution,
  resolveMoment,
  stopOf,
  watchFor,
} from '../src/target/index.ts';

const SIZE = 1 << 20;

/** A primary with an archive, a base backup, and a history of transactions after it. */
interface Site {
  readonly primary: Cluster;
  readonly archive: string;
  readonly backup: string;
  readonly start: ReplayStart;
}

async function makeSite(): Promise<Site> {
  const primary = await Cluster.create(17, {
    walSegmentSizeMiB: 1,
    template: true,
    settings: { archive_mode: true, max_prepared_transactions: 5, autovacuum: false, log_timezone: 'UTC' },
  });
  const archive = path.join(primary.directory, 'archive');
  const backup = path.join(primary.directory, 'backup');
  await mkdir(archive);
  const command = `test ! -f ${archive}/%f && cp %p ${archive}/%f`;
  await appendFile(path.join(primary.data, 'postgresql.conf'), `archive_command = '${command}'\n`);
  await primary.start();
  await primary.sql('create table ledger (xid xid8 default pg_current_xact_id(), note text)');
  await primary.exec('pg_basebackup', ['-D', backup, '-X', 'none', '-c', 'fast']);
  await runTransactions(primary);
  await primary.sql('select pg_switch_wal()');
  await primary.stop();
  const label = await readFile(path.join(backup, 'backup_label'), 'utf8');
  const manifest = await readFile(path.join(backup, 'backup_manifest'), 'utf8');
  const [, redo = '', end = ''] = /"Start-LSN": "(\S+)", "End-LSN": "(\S+)"/.exec(manifest) ?? [];
  expect(label).toContain(`START WAL LOCATION: ${redo}`);
  const start = { timeline: 1, redo: parseLsn(redo), consistentAt: parseLsn(end) };
  return { primary, archive, backup, start };
}

/** Transactions that commit in another order than they began, abort, and commit in two phases. */
async function runTransactions(primary: Cluster): Promise<void> {
  const rows = `insert into ledger (note) select 'pad' from generate_series(1, 20);`;
  await primary.sql(rows);
  await primary.sql(`begin; ${rows} prepare transaction 'late'`);
  await primary.sql(`${rows} select pg_create_restore_point('one');`);
  await primary.sql(
    `begin; ${rows} rollback; ${rows} begin; savepoint s; ${rows} release s; commit; commit prepared 'late';`,
  );
  await primary.exec('pgbench', ['-n', '-c', '4', '-t', '30', '-f', '-', 'postgres'], { input: rows });
  await primary.sql(
    `select pg_create_restore_point('two'); ${rows} begin; ${rows} prepare transaction 'never'; rollback prepared 'never';`,
  );
  await primary.sql(
    `select pg_logical_emit_message(false, 'x', repeat('y', 300000)); ${rows} select pg_create_restore_point('one');`,
  );
}

async function* readArchive(site: Site, target: RecoveryTarget): AsyncGenerator<WalFact> {
  const { redo, consistentAt } = site.start;
  const scanner = createWalScanner({ segmentSizeBytes: SIZE, watch: watchFor(target, consistentAt) });
  for (const name of (await readdir(site.archive)).toSorted()) {
    const file = parseWalFileName(name);
    if (file?.kind !== 'segment') continue;
    const at = segmentStart(file, SIZE);
    if (at + BigInt(SIZE) <= redo) continue;
    yield* scanner.scan(await readFile(path.join(site.archive, name)), at, at <= redo ? { from: redo } : {});
  }
  positions.set(target, scanner.position);
}

const positions = new Map<RecoveryTarget, Lsn>();

function resolve(site: Site, target: RecoveryTarget): Promise<Resolution> {
  const position = (): Lsn => positions.get(target) ?? lsn(0n);
  const scan: FactScan = { facts: readArchive(site, target), position, ended: () => undefined };
  return resolveMoment(target, scan, site.start);
}

/** What PostgreSQL itself does with the target. */
interface Recovered {
  readonly log: string;
  /** Where the new timeline began, by its history file; undefined when the server did not start. */
  readonly forkedAt: Lsn | undefined;
  readonly xids: ReadonlySet<number>;
}

async function recover(site: Site, target: RecoveryTarget, name: string): Promise<Recovered> {
  const data = path.join(site.primary.directory, name);
  await cp(site.backup, data, { recursive: true });
  const restoreCommand = `cp ${site.archive}/%f %p`;
  const settings = renderRecoverySettings({ restoreCommand, stop: stopOf(target), timeline: 1, action: 'promote' });
  await appendFile(path.join(data, 'postgresql.auto.conf'), settings);
  await writeFile(path.join(data, 'recovery.signal'), '');
  await using restored = await Cluster.attach(data);
  // With a target it cannot reach the server first lets readers in and then ends.
  const isUp = await restored
    .start()
    .then(() => restored.waitPromoted())
    .then(
      () => true,
      () => false,
    );
  if (!isUp) return { log: await restored.log(), forkedAt: undefined, xids: new Set() };
  const xids = new Set((await restored.sql('select distinct xid from ledger')).split('\n').map(Number));
  await restored.stop('immediate');
  const history = await readFile(path.join(data, 'pg_wal', '00000002.history'), 'utf8');
  return { log: await restored.log(), forkedAt: parseLsn(history.split('\t')[1] ?? ''), xids };
}

const STOPPING = /recovery stopping (before|after) (commit|abort) of transaction (\d+), time (\S+ \S+)\+00/;

/** The deciding transaction as the log names it. */
function decidedIn(log: string): string | undefined {
  const match = STOPPING.exec(log);
  return match === null ? undefined : match.slice(1).join(' ');
}

function decidedBy({ stops, decidedBy: by }: Moment): string | undefined {
  if (by === undefined) return undefined;
  return `${stops} ${by.ended} ${by.xid} ${formatMicros(by.timeMicros).slice(0, -3).replace(/0+$/, '')}`;
}

function time(micros: bigint, inclusive: boolean): RecoveryTarget {
  const utc = formatMicros(micros);
  return { kind: 'time', text: utc, utc, micros, inclusive };
}

describe('a resolved moment is what PostgreSQL 17 does', () => {
  let site: Site;
  let ends: Extract<WalFact, { kind: 'commit' | 'abort' }>[];

  beforeAll(async () => {
    site = await makeSite();
    ends = [];
    for await (const fact of readArchive(site, { kind: 'latest' }))
      if ((fact.kind === 'commit' || fact.kind === 'abort') && fact.lsn > site.start.consistentAt) ends.push(fact);
  });
  afterAll(async () => {
    await site.primary[Symbol.asyncDispose]();
  });

  const end = (index: number, kind: 'commit' | 'abort' = 'commit') => {
    const found = ends.filter((fact) => fact.kind === kind).at(index);
    if (found === undefined) throw new Error(`no ${kind} ${index}`);
    return found;
  };
  const prepared = () => ends.find((fact) => fact.prepared && fact.kind === 'commit')?.xid ?? 0;

  it.each<[string, () => RecoveryTarget]>([
    ['the time of a commit, inclusive', () => time(end(40).timeMicros, true)],
    ['the time of a commit, exclusive', () => time(end(60).timeMicros, false)],
    ['a microsecond before a commit', () => time(end(20).timeMicros - 1n, true)],
    ['an xid', () => ({ kind: 'xid', xid: end(50).xid, inclusive: true })],
    ['just before an xid', () => ({ kind: 'xid', xid: end(70).xid, inclusive: false })],
    ['a transaction that aborted', () => ({ kind: 'xid', xid: end(0, 'abort').xid, inclusive: true })],
    ['just before a two-phase commit', () => ({ kind: 'xid', xid: prepared(), inclusive: false })],
    ['the LSN of a commit', () => ({ kind: 'lsn', lsn: end(30).lsn, inclusive: true })],
    ['an LSN between two records', () => ({ kind: 'lsn', lsn: lsn(end(80).lsn + 1n), inclusive: true })],
    ['just before an LSN', () => ({ kind: 'lsn', lsn: end(90).lsn, inclusive: false })],
    ['the first of two restore points of one name', () => ({ kind: 'name', name: 'one' })],
    ['a restore point', () => ({ kind: 'name', name: 'two' })],
    ['the end of the backup', () => ({ kind: 'immediate' })],
    ['the end of the WAL', () => ({ kind: 'latest' })],
  ])('for %s', async (name, make) => {
    const target = make();
    const moment = requireMoment(await resolve(site, target));
    const recovered = await recover(site, target, name.replaceAll(/\W/g, '-'));
    expect(moment.stopsAt).toBe(recovered.forkedAt);
    expect(decidedBy(moment)).toBe(decidedIn(recovered.log));
    const kept = ends.filter((fact) => fact.kind === 'commit' && fact.endLsn <= moment.stopsAt).map(({ xid }) => xid);
    const lost = ends.filter((fact) => fact.kind === 'abort' || fact.endLsn > moment.stopsAt).map(({ xid }) => xid);
    expect(kept.filter((xid) => !recovered.xids.has(xid))).toEqual([]);
    expect(lost.filter((xid) => recovered.xids.has(xid))).toEqual([]);
  });

  it.each<[string, () => RecoveryTarget, RegExp]>([
    [
      'a time after the last transaction',
      () => time((ends.at(-1)?.timeMicros ?? 0n) + 1n, true),
      /recovery ended before configured recovery target/,
    ],
    [
      'an xid that never was',
      () => ({ kind: 'xid', xid: 1_000_000, inclusive: true }),
      /recovery ended before configured recovery target/,
    ],
    [
      'a point before the end of the backup',
      () => ({ kind: 'lsn', lsn: site.start.redo, inclusive: true }),
      /before consistent recovery point/,
    ],
  ])('and it refuses %s', async (name, make, message) => {
    const target = make();
    expect(await resolve(site, target)).toMatchObject({ reachable: false });
    const recovered = await recover(site, target, name.replaceAll(/\W/g, '-'));
    expect(recovered.forkedAt).toBeUndefined();
    expect(recovered.log).toMatch(message);
  });
});
