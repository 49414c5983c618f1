/** Compares what `log` and `plan` say with what PostgreSQL itself did. @packageDocumentation */
import type { Cluster, Random } from '@keyframe/testkit/postgres';
import { countedTables, runRandomHistory, setUpSql, type TrueRows, type TrueTransaction } from './random-history.ts';
import type { Site } from './site.ts';

interface ToldRows extends TrueRows {
  readonly name: string;
}

interface ToldEntry {
  readonly xid: number;
  readonly lsn: string;
  readonly outcome: 'commit' | 'abort';
  readonly tables: readonly ToldRows[];
}

interface ToldPlan {
  readonly stopsAt: string;
  readonly effects: Record<'kept' | 'lost', { readonly transactions: number; readonly tables: readonly ToldRows[] }>;
}

export interface HistorySize {
  readonly sessions: number;
  readonly transactions: number;
  readonly restores: number;
}

/** What was found. */
export interface HistoryCheck {
  readonly wrong: readonly string[];
  readonly transactions: number;
}

const EVERYTHING = ['log', '--all', '--each', '--limit', '1000000'];

/** Runs a random history, reads it back, and restores to some moments of it. */
export async function checkHistory(site: Site, random: Random, size: HistorySize): Promise<HistoryCheck> {
  const { origin } = site;
  await origin.sql(setUpSql(size.sessions));
  const tables = countedTables(size.sessions);
  await site.backup();
  const before = await countRows(origin, tables);
  const truths = await runRandomHistory(origin, random, size);
  await site.archiveAll();
  const { entries } = await site.report<{ entries: readonly ToldEntry[] }>(EVERYTHING);
  const wrong = compareAll(truths, entries);
  const committed = inCommitOrder(truths, entries);
  for (let restore = 0; restore < size.restores && wrong.length === 0; restore++) {
    const index = random.between(1, committed.length - 2);
    const target = committed[index];
    if (target === undefined) break;
    const words = random.chance(0.5) ? ['--before-xid', String(target.xid)] : ['--xid', String(target.xid)];
    const kept = committed.slice(0, words[0] === '--xid' ? index + 1 : index);
    wrong.push(...(await checkPlan(site, words, kept, committed.slice(kept.length))));
    const copy = await site.recover(words);
    const expected = simulate(before, kept);
    const found = await countRows(copy, tables);
    for (const [table, rows] of expected)
      if (found.get(table) !== rows)
        wrong.push(`${words.join(' ')}: ${table} has ${found.get(table)} rows, not ${rows}`);
    await copy.stop('immediate');
  }
  return { wrong: wrong.slice(0, 20), transactions: truths.length };
}

const format = ({ inserted, updated, deleted }: TrueRows): string => `+${inserted} ~${updated} -${deleted}`;

function compareAll(truths: readonly TrueTransaction[], entries: readonly ToldEntry[]): string[] {
  const told = new Map(entries.map((entry) => [entry.xid, entry]));
  return truths.flatMap((truth) => {
    const entry = told.get(truth.xid);
    if (entry === undefined) return [`transaction ${truth.xid} is not told`];
    if ((entry.outcome === 'commit') !== truth.committed)
      return [`transaction ${truth.xid} is told as ${entry.outcome}`];
    return truth.committed ? compareRows(`transaction ${truth.xid}`, truth.tables, entry.tables) : [];
  });
}

function compareRows(what: string, truth: ReadonlyMap<string, TrueRows>, told: readonly ToldRows[]): string[] {
  const mine = [...truth].map(([name, rows]) => `${name} ${format(rows)}`).toSorted();
  const theirs = told.map((rows) => `${rows.name.replace('public.', '')} ${format(rows)}`).toSorted();
  return mine.join(', ') === theirs.join(', ') ? [] : [`${what}: ${theirs.join(', ')}; really ${mine.join(', ')}`];
}

/** Only the log knows in which order they committed. */
function inCommitOrder(truths: readonly TrueTransaction[], entries: readonly ToldEntry[]): TrueTransaction[] {
  const byXid = new Map(truths.filter(({ committed }) => committed).map((truth) => [truth.xid, truth]));
  return entries.flatMap(({ xid }) => byXid.get(xid) ?? []);
}

async function checkPlan(
  site: Site,
  words: readonly string[],
  kept: readonly TrueTransaction[],
  lost: readonly TrueTransaction[],
): Promise<string[]> {
  const { effects } = await site.report<ToldPlan>(['plan', ...words]);
  return [
    ...compareRows(`${words.join(' ')} keeps`, together(kept), effects.kept.tables),
    ...compareRows(`${words.join(' ')} loses`, together(lost), effects.lost.tables),
  ];
}

function together(truths: readonly TrueTransaction[]): Map<string, TrueRows> {
  const sum = new Map<string, TrueRows>();
  for (const { tables } of truths)
    for (const [table, { inserted, updated, deleted }] of tables) {
      const rows = sum.get(table) ?? { inserted: 0, updated: 0, deleted: 0 };
      sum.set(table, {
        inserted: rows.inserted + inserted,
        updated: rows.updated + updated,
        deleted: rows.deleted + deleted,
      });
    }
  return sum;
}

/** Rows that each table must have; one that was truncated is counted from its last truncation on, where that is known. */
function simulate(before: ReadonlyMap<string, number>, kept: readonly TrueTransaction[]): Map<string, number> {
  const rows = new Map(before);
  const unknown = new Set<string>();
  for (const { tables, emptied } of kept) {
    for (const [table, { inserted, deleted }] of tables)
      if (rows.has(table)) rows.set(table, (rows.get(table) ?? 0) + inserted - deleted);
    // What it wrote before it emptied the table is gone too, and cannot be told from what it wrote afterwards.
    for (const table of emptied) unknown.add(table);
  }
  for (const table of unknown) rows.delete(table);
  return rows;
}

async function countRows(cluster: Cluster, tables: readonly string[]): Promise<Map<string, number>> {
  const query = tables.map((table) => `select '${table}', count(*) from ${table}`).join(' union all ');
  const lines = (await cluster.sql(query)).split('\n').map((line) => line.split('|'));
  return new Map(lines.map(([table = '', count]) => [table, Number(count)]));
}
