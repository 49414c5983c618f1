/** Statements of which the rows are known. @packageDocumentation */
import type { Cluster } from '@keyframe/testkit/postgres';

/** What is to be counted: by xid rows inserted, updated and deleted in `table`; of `raced` the sum of all. */
export interface CountedWork {
  readonly rows: ReadonlyMap<number, string>;
  readonly racedRows: number;
  /** File numbers of the two tables. */
  readonly table: number;
  readonly raced: number;
}

/** Each insertion waits between its look for a conflict and its entry in the index, so that another one comes between. */
const RACED = `
create function hesitant(i int) returns int language plpgsql immutable as 'begin perform pg_sleep(0.1); return i; end';
create table raced (id int);
create unique index on raced (hesitant(id));
`;
const SESSIONS = 3;
/** More than enough: the first one hits nearly always. */
const ROUNDS = 40;

/** Does it on a server whose tables of that name are not there yet. */
export async function doCountedWork(cluster: Cluster): Promise<CountedWork> {
  await cluster.sql(`drop table if exists counted, raced; drop function if exists hesitant;
    create table counted (id int primary key, note text); ${RACED} checkpoint`);
  const nodeOf = async (name: string): Promise<number> =>
    Number(await cluster.sql(`select pg_relation_filenode('${name}')`));
  const xidOf = async (statements: string, end = 'commit'): Promise<number> =>
    Number(
      (await cluster.sql(`begin; select pg_current_xact_id(); ${statements}; ${end}`))
        .split('\n')
        .find((line) => /^\d+$/.test(line)),
    );
  const rows = new Map<number, string>();
  const does = async (expected: string, statements: string, end?: string): Promise<void> =>
    void rows.set(await xidOf(statements, end), expected);
  await does('500 0 0', `insert into counted select g, repeat(md5(g::text), 200) from generate_series(1, 500) g`);
  await does('1000 0 0', `copy counted from program 'seq 1001 2000 | sed "s/$/\\tcopied/"'`);
  await does('0 300 0', `update counted set note = 'new' where id <= 300`);
  await does(
    '0 0 30',
    `delete from counted where id <= 10; savepoint a; delete from counted where id <= 60; rollback to a; savepoint b; delete from counted where id between 61 and 80; release b`,
  );
  await does(
    '2 0 0',
    `insert into counted select 1001 from generate_series(1, 3) on conflict do nothing; insert into counted values (5000, 'a'), (5001, 'b') on conflict do nothing`,
  );
  await does(
    '1 1 0',
    `insert into counted values (5000, 'c'), (5002, 'd') on conflict (id) do update set note = excluded.note`,
  );
  await does('0 0 3', 'delete from counted where id between 90 and 92', `prepare transaction 'counted'`);
  await cluster.sql(`commit prepared 'counted'`);
  let racedRows = 0;
  // A page with more line pointers than rows: an insertion was withdrawn there.
  for (let used = 0; used <= racedRows && racedRows < ROUNDS;) {
    racedRows += 1;
    const racing = `select pg_sleep(greatest(0, ${Date.now() + 300} / 1000.0 - extract(epoch from clock_timestamp())));
      insert into raced values (${racedRows}) on conflict do nothing`;
    await Promise.all(Array.from({ length: SESSIONS }, () => cluster.sql(racing)));
    // Behind it one more, so that it is not the last one.
    racedRows += 1;
    await cluster.sql(`insert into raced values (${racedRows})`);
    used = Number(await cluster.sql('select max((ctid::text::point)[1]) from raced'));
  }
  return { rows, racedRows, table: await nodeOf('counted'), raced: await nodeOf('raced') };
}
