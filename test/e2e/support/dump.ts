import type { Cluster } from '@keyframe/testkit/postgres';

/**
 * Everything in a cluster, as `pg_dumpall` writes it. Unlogged tables come without their rows: recovery empties them.
 * The lines with which newer versions guard a script against psql's commands hold a random word.
 */
export async function dumpAll(cluster: Cluster): Promise<string> {
  const dump = await cluster.exec('pg_dumpall', ['--no-unlogged-table-data', '--no-sync']);
  return dump.replaceAll(/^\\(?:un)?restrict .*$/gm, '');
}
