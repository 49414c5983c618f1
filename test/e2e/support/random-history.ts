/** Random transactions of several sessions at once, and what each of them did as PostgreSQL itself said it. @packageDocumentation */
import type { Cluster, Random } from '@keyframe/testkit/postgres';

/** Rows of one table. */
export interface TrueRows {
  inserted: number;
  updated: number;
  deleted: number;
}

/** One transaction as its session saw it. */
export interface TrueTransaction {
  readonly xid: number;
  readonly committed: boolean;
  /** By name; tables without rows are left out. */
  readonly tables: ReadonlyMap<string, TrueRows>;
  /** Tables that it emptied or dropped before it wrote what is in `tables`. */
  readonly emptied: readonly string[];
}

/** A line of a session's script, and what its result is counted as. */
interface Step {
  readonly sql: string;
  readonly counts?: { readonly table: string; readonly as: keyof TrueRows | 'upsert' } | undefined;
  readonly empties?: string | undefined;
}

const PERSON = (count: number): string =>
  `select (random() * 1e9)::int, md5(random()::text) from generate_series(1, ${count})`;
const LONG = "(select string_agg(md5(random()::text), '') from generate_series(1, 300))";

/** The tables of one session. Each works in its own; `marks` is everybody's. */
export function setUpSql(sessions: number): string {
  const own = Array.from(
    { length: sessions },
    (_, session) => `
create table w${session}_plain (id int, note text);
create index on w${session}_plain (note);
create table w${session}_hot (id int primary key, n int default 0) with (fillfactor = 50);
insert into w${session}_hot select g from generate_series(1, 60) g;
create table w${session}_toast (id serial primary key, note text);
alter table w${session}_toast alter note set storage external;
create table w${session}_key (id int primary key, n int);
create table w${session}_part (id int, note text) partition by range (id);
create table w${session}_part_low partition of w${session}_part for values from (minvalue) to (500000000);
create table w${session}_part_high partition of w${session}_part for values from (500000000) to (maxvalue);`,
  );
  return `create table marks (session int, number int);${own.join('')}`;
}

/** Names of the tables that {@link setUpSql} makes and that rows are counted in. */
export function countedTables(sessions: number): string[] {
  const kinds = ['plain', 'hot', 'toast', 'key', 'part_low', 'part_high'];
  return ['marks', ...Array.from({ length: sessions }, (_, each) => kinds.map((kind) => `w${each}_${kind}`)).flat()];
}

/** Runs so many transactions in each of several sessions at once. */
export async function runRandomHistory(
  cluster: Cluster,
  random: Random,
  size: { readonly sessions: number; readonly transactions: number },
): Promise<TrueTransaction[]> {
  const sessions = Array.from({ length: size.sessions }, (_, session) =>
    new Session(session, random.fork()).run(cluster, size.transactions),
  );
  return (await Promise.all(sessions)).flat();
}

class Session {
  readonly #session: number;
  readonly #random: Random;
  #made = 0;

  constructor(session: number, random: Random) {
    this.#session = session;
    this.#random = random;
  }

  async run(cluster: Cluster, transactions: number): Promise<TrueTransaction[]> {
    const plans = Array.from({ length: transactions }, (_, number) => this.#transaction(number));
    const script = plans.map(({ lines }) => lines.join('\n')).join('\n');
    const output = await cluster.exec('psql', ['-XAt', '-v', 'ON_ERROR_STOP=1', '-f', '-'], { input: `${script}\n` });
    const parts = output.split(/^#begin\n/m).slice(1);
    if (parts.length !== plans.length) throw new Error(`${plans.length} transactions, ${parts.length} results`);
    return parts.map((part, index) => readTransaction(part, plans[index]?.steps ?? [], plans[index]?.commits ?? false));
  }

  #transaction(number: number): {
    readonly lines: readonly string[];
    readonly steps: readonly Step[];
    readonly commits: boolean;
  } {
    const random = this.#random;
    const mark = `insert into marks values (${this.#session}, ${number})`;
    const lines = ['\\echo #begin', 'begin;'];
    const steps: Step[] = [];
    const add = (step: Step, isUndone = false): void => {
      lines.push(`\\echo #step ${isUndone ? -1 : steps.length}`, `${step.sql};`);
      if (!isUndone) steps.push(step);
    };
    add({ sql: mark, counts: { table: 'marks', as: 'inserted' } });
    // Rows that are only written anew cannot be told from others of the same transaction.
    const rewrites = random.chance(0.05);
    if (rewrites) add({ sql: this.#rewrite() });
    for (let left = rewrites ? 0 : random.between(1, 5); left > 0; left--) {
      if (random.chance(0.2)) {
        lines.push('savepoint s;');
        for (let undone = random.between(1, 3); undone > 0; undone--) add(this.#rows(), true);
        lines.push('rollback to s;');
      }
      const isChild = random.chance(0.25);
      if (isChild) lines.push('savepoint c;');
      for (const step of random.chance(0.12) ? this.#definition() : [this.#rows()]) add(step);
      if (isChild) lines.push('release c;');
    }
    const commits = !random.chance(0.15);
    const isTemporary = steps.some(({ sql }) => sql.startsWith('create temp'));
    lines.push("select '#xid', pg_current_xact_id();", ...this.#end(commits, number, isTemporary));
    return { lines, steps, commits };
  }

  #end(commits: boolean, number: number, isTemporary: boolean): string[] {
    const name = `'p${this.#session}_${number}'`;
    // A temporary table cannot be prepared.
    if (isTemporary || !this.#random.chance(0.15)) return [commits ? 'commit;' : 'rollback;'];
    return [`prepare transaction ${name};`, `${commits ? 'commit' : 'rollback'} prepared ${name};`];
  }

  #rows(): Step {
    const random = this.#random;
    const own = `w${this.#session}`;
    const some = random.between(1, 40);
    const id = random.between(1, 60);
    const steps: readonly (() => Step)[] = [
      () => counted(`insert into ${own}_plain ${PERSON(some)}`, `${own}_plain`, 'inserted'),
      () => counted(copy(`${own}_plain`, some), `${own}_plain`, 'inserted'),
      () => counted(`update ${own}_plain set note = note || 'x' where id % 7 = ${id % 7}`, `${own}_plain`, 'updated'),
      () => counted(`delete from ${own}_plain where id % 11 = ${id % 11}`, `${own}_plain`, 'deleted'),
      () => counted(`update ${own}_hot set n = n + 1 where id between ${id} and ${id + 5}`, `${own}_hot`, 'updated'),
      () => counted(`select * from ${own}_hot where id = ${id} for update`, `${own}_hot`, 'updated', 0),
      () =>
        counted(
          `insert into ${own}_toast (note) select ${LONG} from generate_series(1, 3)`,
          `${own}_toast`,
          'inserted',
        ),
      () => counted(`update ${own}_toast set note = ${LONG} where id % 5 = ${id % 5}`, `${own}_toast`, 'updated'),
      () => counted(`delete from ${own}_toast where id % 9 = ${id % 9}`, `${own}_toast`, 'deleted'),
      () => counted(upsert(`${own}_key`, id, some), `${own}_key`, 'upsert'),
      () =>
        counted(
          `insert into ${own}_key select g, 0 from generate_series(${id}, ${id + some}) g on conflict do nothing`,
          `${own}_key`,
          'inserted',
        ),
      () =>
        counted(
          `insert into ${own}_part select 1 + g, 'a' from generate_series(1, ${some}) g`,
          `${own}_part_low`,
          'inserted',
        ),
      () => counted(`delete from ${own}_part_low where id % 3 = 0`, `${own}_part_low`, 'deleted'),
    ];
    return random.pick(steps)();
  }

  #rewrite(): string {
    const table = `w${this.#session}_plain`;
    this.#made += 1;
    return this.#random.pick([
      `alter table ${table} alter column note type varchar(${this.#random.between(3000, 9000)})`,
      `alter table ${table} alter column id type ${this.#made % 2 === 0 ? 'int' : 'bigint'}`,
      `alter table ${table} add column d${this.#made} float default random()`,
    ]);
  }

  #definition(): readonly Step[] {
    const random = this.#random;
    const own = `w${this.#session}`;
    this.#made += 1;
    const fresh = `${own}_made${this.#made}`;
    return random.pick<readonly Step[]>([
      [
        counted(
          `create table ${fresh} as select g as id, 'x' as note from generate_series(1, 12) g`,
          fresh,
          'inserted',
        ),
      ],
      [{ sql: `create table ${fresh} (id int)` }, counted(`insert into ${fresh} values (1), (2)`, fresh, 'inserted')],
      [{ sql: `create table ${fresh} (id int)` }, { sql: `drop table ${fresh}` }],
      [{ sql: `alter table ${own}_plain add column c${this.#made} int` }],
      [{ sql: `create index ${fresh}_i on ${own}_plain (id)` }],
      [{ sql: `truncate ${own}_plain`, empties: `${own}_plain` }],
      [
        { sql: `truncate ${own}_key`, empties: `${own}_key` },
        counted(`insert into ${own}_key select g, 1 from generate_series(1, 5) g`, `${own}_key`, 'inserted'),
      ],
      [{ sql: `create temp table t${this.#made} as select 1 as a` }],
      [{ sql: `create function ${fresh}() returns int language sql as $$ select 1 $$` }],
    ]);
  }
}

function counted(sql: string, table: string, as: keyof TrueRows | 'upsert', factor = 1): Step {
  return factor === 0 ? { sql } : { sql, counts: { table, as } };
}

function copy(table: string, rows: number): string {
  const lines = Array.from({ length: rows }, (_, index) => `${index * 7919}\tcopied ${index}`);
  return `copy ${table} (id, note) from stdin;\n${lines.join('\n')}\n\\.\nselect`;
}

/** Says itself how many were new. */
function upsert(table: string, from: number, count: number): string {
  return `with done as (insert into ${table} select g, 0 from generate_series(${from}, ${from + count}) g
    on conflict (id) do update set n = ${table}.n + 1 returning xmax = 0 as fresh)
    select '#upsert', count(*) filter (where fresh), count(*) filter (where not fresh) from done`;
}

/** Reads what psql printed of one transaction. */
function readTransaction(text: string, steps: readonly Step[], committed: boolean): TrueTransaction {
  const tables = new Map<string, TrueRows>();
  const emptied: string[] = [];
  const at = (table: string): TrueRows => {
    const rows = tables.get(table) ?? { inserted: 0, updated: 0, deleted: 0 };
    tables.set(table, rows);
    return rows;
  };
  for (const part of text.split(/^#step /m).slice(1)) {
    const step = steps[Number(/^-?\d+/.exec(part)?.[0] ?? -1)];
    if (step?.empties !== undefined) emptied.push(step.empties);
    if (step?.counts === undefined) continue;
    const { table, as } = step.counts;
    if (as === 'upsert') {
      const [, fresh, old] = /^#upsert\|(\d+)\|(\d+)$/m.exec(part) ?? [];
      at(table).inserted += Number(fresh);
      at(table).updated += Number(old);
    } else at(table)[as] += Number(/^(?:INSERT 0|UPDATE|DELETE|COPY|SELECT) (\d+)$/m.exec(part)?.[1]);
  }
  for (const [table, { inserted, updated, deleted }] of tables)
    if (inserted + updated + deleted === 0) tables.delete(table);
  const xid = Number(/^#xid\|(\d+)$/m.exec(text)?.[1]);
  return { xid, committed, tables, emptied };
}
