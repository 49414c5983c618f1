/** kill -9 at random moments, of Keyframe and of PostgreSQL; then everything must go on without a human. @packageDocumentation */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { drain } from '@keyframe/contracts/streams';
import { differences, Ledger, type Major, Oracle, Random, readLedger, readWal } from '@keyframe/testkit/postgres';
import { archiveIn } from '../e2e/support/repository.ts';
import { Site } from '../e2e/support/site.ts';
import { attempts, type Attempt, VICTIMS, type Victim } from './attempts.ts';

export interface KillOptions {
  readonly kills: number;
  readonly seed: number;
}

export interface KillReport {
  /** Processes that were killed in the middle of their work, by what they did. */
  readonly killed: Readonly<Record<Victim, number>>;
  readonly failures: readonly string[];
  /** Transactions that PostgreSQL acknowledged, WAL segments it handed over, base backups that reported success. */
  readonly acknowledged: { readonly transactions: number; readonly segments: number; readonly backups: number };
  readonly seconds: number;
}

/** Kills so many times, every victim in turn, with a ledger running all the while. */
export async function kills(major: Major, { kills: wanted, seed }: KillOptions): Promise<KillReport> {
  const started = performance.now();
  const random = new Random(seed);
  await using site = await Site.create(major, { walSegmentSizeMiB: random.pick([4, 16]) });
  await site.origin.sql('create table filler as select i, repeat(md5(i::text), 8) from generate_series(1, 100000) i');
  const ledger = await Ledger.open(site.origin, { seed: random.between(0, 2 ** 31), sessions: 3, pauseMs: 8 });
  ledger.start();
  const attempt: Attempt = { site, ledger, random, backups: new Set([(await site.backup()).label]) };
  const killed: Record<Victim, number> = { backup: 0, push: 0, restore: 0, fetch: 0, postgres: 0 };
  const failures: string[] = [];
  for (let count = 0, tried = 0; count < wanted && tried < wanted * 5; tried += 1) {
    const victim = VICTIMS[count % VICTIMS.length] ?? 'backup';
    try {
      // One that was ready before the signal came proves nothing; it is tried again.
      if (!(await attempts[victim](attempt))) continue;
      killed[victim] += 1;
      count += 1;
    } catch (error) {
      failures.push(`kill ${count + 1}, of ${victim}: ${String(error)}`);
      break;
    }
  }
  await ledger.stop();
  if (failures.length === 0) failures.push(...(await examine(attempt, major)));
  return {
    killed,
    failures,
    acknowledged: {
      transactions: ledger.acknowledged.size,
      segments: (await handedOver(site)).length,
      backups: attempt.backups.size,
    },
    seconds: Math.round((performance.now() - started) / 1000),
  };
}

/** After all kills: nothing acknowledged is lost, nothing half is listed, and the latest moment is exact. */
async function examine(attempt: Attempt, major: Major): Promise<string[]> {
  const { site, ledger } = attempt;
  attempt.backups.add((await site.backup()).label);
  await site.archiveAll();
  const wal = await readWal(major, [join(site.origin.data, 'pg_wal')]);
  const expected = new Oracle(wal, new Map([[1, ledger.attempted]])).expectedAt({ kind: 'latest' }).xids;
  const lost = [...ledger.acknowledged.difference(expected)];
  return [
    ...(lost.length > 0 ? [`PostgreSQL's own WAL lacks acknowledged transactions ${lost.slice(0, 5).join(', ')}`] : []),
    ...(await differingSegments(site)),
    ...(await unlisted(attempt)),
    ...(await unrestorable(attempt)),
    ...(await exactLatest(site, expected)),
  ];
}

/** Segments that PostgreSQL believes archived, as it still has them. */
async function handedOver(site: Site): Promise<string[]> {
  const names = await readdir(join(site.origin.data, 'pg_wal', 'archive_status'));
  return names.flatMap((name) => (/^[0-9A-F]{24}\.done$/.test(name) ? [name.slice(0, 24)] : []));
}

async function differingSegments(site: Site): Promise<string[]> {
  const { wal } = await archiveIn(site.repository);
  const wrong: string[] = [];
  for (const name of await handedOver(site)) {
    const found = await wal.get(name);
    if (found === undefined) wrong.push(`segment ${name} was handed over and is not in the repository`);
    else if (!(await readFile(join(site.origin.data, 'pg_wal', name))).equals(await drain(found.content)))
      wrong.push(`segment ${name} is in the repository with other bytes`);
  }
  return wrong;
}

async function unlisted({ site, backups }: Attempt): Promise<string[]> {
  const listed = new Set((await site.list()).backups.map(({ label }) => label));
  return [...backups]
    .filter((label) => !listed.has(label))
    .map((label) => `backup ${label} reported success and is not listed`);
}

/** Every listed backup is whole, also one whose process was killed right after it had published. */
async function unrestorable({ site }: Attempt): Promise<string[]> {
  const wrong: string[] = [];
  const archive = await archiveIn(site.repository);
  for (const record of await archive.backups.list()) {
    let bytes = 0;
    const sink = {
      entry: () => undefined,
      write: (_: unknown, __: number, data: Uint8Array) => void (bytes += data.length),
      done: () => undefined,
    };
    const { damage } = await archive.backups.read(record, sink);
    if (damage.length > 0 || bytes !== record.sizeBytes) wrong.push(`backup ${record.label} is listed and not whole`);
  }
  return wrong;
}

async function exactLatest(site: Site, expected: ReadonlySet<number>): Promise<readonly string[]> {
  const cluster = await site.recover(['--latest']);
  const wrong = differences(await readLedger(cluster), expected);
  await cluster.stop();
  return wrong;
}
