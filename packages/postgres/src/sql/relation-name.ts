import type { RelationFile } from '../page/relation-path.ts';
import type { SqlSession } from './session.ts';

/** Name of a database as the server has it now; `undefined` when there is none of that oid. */
export async function databaseName(sql: SqlSession, oid: number): Promise<string | undefined> {
  const [row] = await sql.query<{ name: string }>('select datname::text as name from pg_database where oid = $1', [
    oid,
  ]);
  return row?.name;
}

/**
 * Name of the relation that a file belongs to now, quoted and with its schema where the search path does not lead to it.
 * The session must be one of that file's database, or any for a shared relation.
 */
export async function relationName(
  sql: SqlSession,
  { tablespace, relfilenode }: Pick<RelationFile, 'tablespace' | 'relfilenode'>,
): Promise<string | undefined> {
  // pg_filenode_relation() wants 0 for the tablespace that is the database's own.
  const [row] = await sql.query<{ name: string | null }>(
    `select pg_filenode_relation(case when $1::oid = d.dattablespace then 0 else $1::oid end, $2::oid)::regclass::text as name
       from pg_database d where d.datname = current_database()`,
    [tablespace, relfilenode],
  );
  return row?.name ?? undefined;
}
