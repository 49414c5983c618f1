/** Pages of a running server that are changed, the same ones for every contender. @packageDocumentation */
import type { Cluster } from '@keyframe/testkit/postgres';

/** Which pages. */
export interface Pattern {
  /** Of all pages of the database. */
  readonly share: number;
  readonly clustered: boolean;
  /** Another one chooses other pages. */
  readonly seed: number;
}

/** The tables that are most of the database. */
const TABLES = ['document', 'pgbench_accounts'] as const;
/** Pages that are changed together when they are clustered: 2 MiB. */
const CLUSTER_PAGES = 256;
const BUCKETS = 1 << 20;

/**
 * Locks one row on each chosen page, which writes into the page and nowhere else: no new row versions, no index entries. So
 * the changed pages are exactly the chosen ones. Gives their number.
 */
export async function dirty(cluster: Cluster, { share, clustered, seed }: Pattern): Promise<number> {
  const pages = Number(await cluster.sql('select pg_database_size(current_database()) / 8192'));
  const names = TABLES.map((name) => `'${name}'`).join(',');
  const inTables = Number(
    await cluster.sql(`select sum(pg_relation_size(oid)) / 8192 from pg_class where relname in (${names})`),
  );
  const limit = Math.round(BUCKETS * share * (pages / inTables));
  const place = clustered ? `p / ${CLUSTER_PAGES}` : 'p';
  let changed = 0;
  for (const [index, table] of TABLES.entries()) {
    const chosen = `select format('(%s,1)', p)::tid
      from generate_series(0, pg_relation_size('${table}') / 8192 - 1) p
      where hashint8extended(${place}, ${seed * TABLES.length + index}) & ${BUCKETS - 1} < ${limit}`;
    const locked = `select 1 from ${table} where ctid = any (array(${chosen})) for update`;
    changed += Number(await cluster.sql(`select count(*) from (${locked}) chosen`));
  }
  await cluster.sql('checkpoint');
  return changed;
}
