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

/** Every kind of index, built and used, sequences, large objects, partitions, COPY, VACUUM. */
export const INDEX_KINDS = `
create sequence counter;
create table kinds (id int default nextval('counter'), t text, a int[], p point, r int4range, b bytea);
insert into kinds (t, a, p, r) select md5(g::text), array[g % 50, g % 7], point(g % 100, g / 100.0), int4range(g, g + 5) from generate_series(1, 1500) g;
create index kinds_btree on kinds (t);
create index kinds_hash on kinds using hash (t);
create index kinds_gin on kinds using gin (a);
create index kinds_gist on kinds using gist (p);
create index kinds_range on kinds using gist (r);
create index kinds_spgist on kinds using spgist (p);
create index kinds_text on kinds using spgist (t);
create index kinds_brin on kinds using brin (id) with (pages_per_range = 2);
checkpoint;
insert into kinds (t, a, p, r) select md5((g * 7)::text), array[g % 90, g % 11], point(g % 77, g / 50.0), int4range(g, g + 9) from generate_series(1, 2500) g;
update kinds set t = t || 'x', id = id + 1 where id % 3 = 0;
update kinds set b = 'short' where id % 5 = 0;
delete from kinds where id % 4 = 0;
vacuum kinds;
select * from kinds where id = 7 for update;
vacuum freeze kinds;
create table parted (id int, t text) partition by range (id);
create table parted_low partition of parted for values from (0) to (1000);
create table parted_high partition of parted for values from (1000) to (2000);
insert into parted select g, 'row' from generate_series(0, 1999) g;
update parted set id = id + 1000 where id between 10 and 20;
copy parted from program 'seq 0 500 | sed "s/$/\\tcopied/"';
select lo_from_bytea(0, decode(repeat('00ff', 5000), 'hex'));
cluster kinds using kinds_btree;
vacuum full kinds;
reindex table kinds;
truncate parted;
alter table kinds add column c int default 5;
alter table kinds alter column id type bigint;
drop table kinds;
`;
