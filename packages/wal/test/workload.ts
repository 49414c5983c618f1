import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import type { Cluster } from '@keyframe/testkit/postgres';

/** DDL of many kinds, savepoints, two-phase commits, records longer than a page: one of each kind the reader tells apart. */
const STATEMENTS = `
create table ledger (id int primary key, note text);
create index on ledger using hash (note);
insert into ledger select g, md5(g::text) from generate_series(1, 3000) g;
begin; insert into ledger values (-1, 'a'); savepoint s; insert into ledger values (-2, 'b'); rollback to s;
  savepoint t; insert into ledger values (-3, 'c'); release t; commit;
begin; insert into ledger values (-4, 'd'); rollback;
begin; create table gone (id int, t text); create index on gone (t); insert into gone values (1, repeat('x', 5000)); rollback;
begin; insert into ledger values (-5, 'e'); prepare transaction 'kept';
begin; savepoint s; insert into ledger values (-6, 'f'); create table never (); prepare transaction 'dropped';
commit prepared 'kept';
rollback prepared 'dropped';
create table short_lived (id serial primary key, data text);
alter table short_lived alter column data set storage external;
insert into short_lived (data) select string_agg(md5(g::text), '') from generate_series(1, 4000) g;
select pg_create_restore_point('before the drop');
drop table short_lived;
select pg_logical_emit_message(true, 'long', repeat('0123456789abcdef', 40000));
select pg_logical_emit_message(false, 'long', repeat('0123456789abcdef', 140000)) is not null;
select pg_create_restore_point('Überraschung');
checkpoint;
update ledger set note = note || '!' where id % 7 = 0;
select pg_switch_wal();
do $$ begin for i in 1..200 loop
  begin insert into ledger values (100000 + i, 'sub'); exception when others then null; end;
end loop; end $$;
truncate ledger;
vacuum;
create database other template template0;
drop database other;
do $$ begin perform pg_replication_origin_create('elsewhere'); end $$;
select pg_replication_origin_session_setup('elsewhere');
begin; insert into ledger values (7, 'g'); select pg_replication_origin_xact_setup('0/123', now()); commit;
begin; insert into ledger values (8, 'h'); prepare transaction 'from elsewhere';
commit prepared 'from elsewhere';
`;

/** What makes a path another file: databases copied and moved, catalogues rewritten, relations cut. */
const FILES = (major: number): string => `
create unlogged table scratch as select generate_series(1, 100) i;
create table cut as select generate_series(1, 5000) i;
delete from cut where i > 100;
vacuum cut;
vacuum full pg_class;
vacuum full pg_database;
create database copied template template0 ${major >= 15 ? 'strategy file_copy' : ''};
alter database copied set tablespace elsewhere;
create table apart (i int) tablespace elsewhere;
alter database copied set tablespace pg_default;
${major >= 15 ? 'create database logged template template0 strategy wal_log;' : ''}
drop database copied;
`;

/** Settings under which {@link runWorkload} produces every kind of record. */
export const WORKLOAD_SETTINGS = {
  wal_level: 'logical',
  max_prepared_transactions: 10,
  wal_keep_size: '2GB',
  autovacuum: false,
  max_wal_size: '4GB',
} as const;

/** Writes a varied stretch of WAL. */
export async function runWorkload(cluster: Cluster, transactions: number): Promise<void> {
  await cluster.exec('pgbench', ['-i', '-s', '1', '-q', 'postgres']);
  await cluster.sql(STATEMENTS);
  const elsewhere = path.join(cluster.directory, 'elsewhere');
  await mkdir(elsewhere, { mode: 0o700 });
  await cluster.sql(`create tablespace elsewhere location '${elsewhere}' with (random_page_cost = 2)`);
  await cluster.sql(FILES(cluster.major));
  await cluster.exec('pgbench', ['-n', '-c', '4', '-t', String(transactions / 4), 'postgres']);
  await cluster.sql(
    STATEMENTS.replaceAll('elsewhere', 'afar').replaceAll(
      'create table ledger',
      'drop table ledger; create table ledger',
    ),
  );
}
