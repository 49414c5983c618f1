import { mkdir } from 'node:fs/promises';
import path from 'node:path';
import { type Lsn, parseLsn } from '@keyframe/contracts';
import type { Cluster, Random } from '@keyframe/testkit/postgres';

/** What the server itself says of a database's relations. */
export interface Truth {
  readonly database: string;
  readonly lsn: Lsn;
  /** `oid|file|schema.name|kind|toast|persistence`, one a line. */
  readonly rows: string;
}

/** Relations as they are now, temporary ones left out. Shared relations have the same file in every database. */
const RELATIONS = `
select c.oid, coalesce(pg_relation_filenode(c.oid), c.relfilenode), n.nspname || '.' || c.relname, c.relkind, c.reltoastrelid,
  c.relpersistence
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname !~ '^pg_(toast_)?temp_'`;

const POSITION = 'select pg_current_wal_insert_lsn()';

/** Random DDL of every kind that makes a relation another file, or gives it another name. */
export class RandomDdl {
  readonly #cluster: Cluster;
  readonly #random: Random;
  #count = 0;
  #databases = ['postgres'];

  constructor(cluster: Cluster, random: Random) {
    this.#cluster = cluster;
    this.#random = random;
  }

  /** Where the tablespace `elsewhere` lies. */
  get tablespaceDirectory(): string {
    return path.join(this.#cluster.directory, 'elsewhere');
  }

  async begin(): Promise<void> {
    await mkdir(this.tablespaceDirectory, { mode: 0o700 });
    await this.#cluster.sql(`create tablespace elsewhere location '${this.tablespaceDirectory}'`);
    await this.#cluster.sql(
      'create table t0 (id serial primary key, note text); insert into t0 (note) values (1), (2)',
    );
  }

  /** A few statements in a random database; some fail, as statements do. */
  async step(statements: number): Promise<void> {
    const database = this.#random.pick(this.#databases);
    const input = Array.from({ length: statements }, () => `${this.#statement()};\n`).join('');
    await this.#run(input, database);
    if (this.#random.chance(0.15)) await this.#changeDatabases();
  }

  /** True when it ended well. */
  async #run(input: string, database = 'postgres', stop = 0): Promise<boolean> {
    const args = ['-XAtq', '-v', `ON_ERROR_STOP=${stop}`, '-U', 'postgres', '-d', database, '-f', '-'];
    return (await this.#cluster.tryExec('psql', args, { input })).status === 0;
  }

  /** What every database holds at a moment at which nothing else happens. */
  async truth(): Promise<Truth[]> {
    const truths: Truth[] = [];
    for (const database of this.#databases) {
      const before = parseLsn(await this.#cluster.sql(POSITION));
      const rows = await this.#cluster.sql(RELATIONS, { database });
      const after = parseLsn(await this.#cluster.sql(POSITION));
      // Something else wrote meanwhile: autovacuum, a checkpoint.
      if (before === after) truths.push({ database, lsn: before, rows });
    }
    return truths;
  }

  #table(): string {
    return `t${this.#random.between(0, 12)}`;
  }

  #statement(): string {
    const table = this.#table();
    this.#count += 1;
    const fresh = `n${this.#count}`;
    const kinds: readonly string[] = [
      `create table ${table} (id serial primary key, note text, extra int default ${this.#count}); insert into ${table} (note) select 'x' from generate_series(1, 50)`,
      `create table ${table} (id serial primary key, note text)`,
      `create unlogged table ${table} (id int)`,
      `create temp table x${this.#count} (id int, note text); insert into x${this.#count} values (1)`,
      `drop table ${table} cascade`,
      `truncate ${table}`,
      `begin; truncate ${table}; insert into ${table} (id) values (1); truncate ${table}; commit`,
      `begin; truncate ${table}; rollback`,
      `alter table ${table} rename to t${this.#random.between(0, 12)}`,
      `alter table ${table} add column c${this.#count} int`,
      `alter table ${table} alter column note type varchar(${this.#random.between(20, 200)})`,
      `alter table ${table} set tablespace ${this.#random.pick(['elsewhere', 'pg_default'])}`,
      `alter table ${table} set ${this.#random.pick(['logged', 'unlogged'])}`,
      `alter table ${table} set (fillfactor = ${this.#random.between(10, 100)})`,
      `vacuum full ${table}`,
      `cluster ${table} using ${table}_pkey`,
      `create index ${fresh} on ${table} (id)`,
      `reindex table ${table}`,
      `create view ${fresh} as select * from ${table}`,
      `create materialized view m${table} as select * from ${table}; refresh materialized view m${table}`,
      `refresh materialized view m${table}`,
      `create schema s${this.#random.between(0, 3)}; create table s1.${table} (id int, note text)`,
      `alter schema s1 rename to s${this.#random.between(0, 3)}`,
      `drop schema s${this.#random.between(0, 3)} cascade`,
      `begin; create table ${fresh} (a int); savepoint s; drop table ${table} cascade; rollback to s; alter table ${fresh} rename to ${fresh}x; commit`,
      `begin; savepoint s; create table ${fresh} (a int primary key); release s; savepoint t; create table ${fresh}y (); rollback to t; commit`,
      `begin; create table ${fresh} (a text); prepare transaction '${fresh}'`,
      `commit prepared '${fresh.slice(0, 1)}${this.#count - this.#random.between(1, 9)}'`,
      ...[1, 2, 3, 4, 5, 6].map((back) => `rollback prepared 'n${this.#count - 4 - back}'`),
      `vacuum full ${this.#random.pick(['pg_class', 'pg_namespace', 'pg_database', 'pg_attribute', 'pg_tablespace'])}`,
      `vacuum ${this.#random.pick(['pg_class', 'pg_namespace', 'freeze pg_class', 'pg_attribute', '(freeze) pg_database'])}`,
      'analyze',
      'checkpoint',
      `grant select on ${table} to public`,
      `do $$ begin for i in 1..${this.#random.between(2, 40)} loop execute 'create table ${fresh}_' || i || ' (a int)'; end loop; end $$`,
      `do $$ declare r record; begin for r in select relname from pg_class where relname ~ '^n[0-9]+_' and relkind = 'r' limit 60 loop execute 'drop table ' || r.relname; end loop; end $$`,
      `do $$ begin for i in 1..20 loop begin execute 'create table ${fresh}_' || i || ' (a int)'; if i % 3 = 0 then raise exception 'x'; end if; exception when raise_exception then null; end; end loop; end $$`,
      `create table p${table} (id int) partition by range (id); create table p${table}_1 partition of p${table} for values from (0) to (10)`,
      `drop table p${table}`,
    ];
    return this.#random.pick(kinds);
  }

  async #changeDatabases(): Promise<void> {
    this.#count += 1;
    const name = `d${this.#count}`;
    const strategy = this.#cluster.major < 15 ? '' : `strategy ${this.#random.pick(['file_copy', 'wal_log'])}`;
    const template = this.#random.pick(['template0', 'template1', ...this.#databases.slice(1)]);
    const tablespace = this.#random.chance(0.3) ? 'tablespace elsewhere' : '';
    if (this.#databases.length < 4) {
      // Prepared transactions stand in the way, as they may.
      const made = await this.#run(
        `create database ${name} template ${template} ${strategy} ${tablespace}`,
        undefined,
        1,
      );
      if (made) this.#databases.push(name);
      return;
    }
    const victim = this.#random.pick(this.#databases.slice(1));
    const to = this.#random.pick(['elsewhere', 'pg_default']);
    if (this.#random.chance(0.5)) await this.#run(`alter database ${victim} set tablespace ${to}`);
    else if (await this.#run(`alter database ${victim} rename to r${this.#count}`, undefined, 1))
      this.#databases = this.#databases.map((each) => (each === victim ? `r${this.#count}` : each));
    else if (await this.#run(`drop database ${victim}`, undefined, 1))
      this.#databases = this.#databases.filter((each) => each !== victim);
  }
}
