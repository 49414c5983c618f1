/**
 * What a base backup leaves out, by the rules of PostgreSQL's own.
 * @see sendDir() and the lists at the top of src/backend/backup/basebackup.c in PostgreSQL
 * @packageDocumentation
 */

/** Left out wherever they lie. `pg_internal.init` is a prefix: one that is being written carries a pid behind it. */
const FILES: ReadonlySet<string> = new Set([
  'postgresql.auto.conf.tmp',
  'current_logfiles.tmp',
  'backup_label',
  'tablespace_map',
  'backup_manifest',
  'postmaster.pid',
  'postmaster.opts',
  '.DS_Store',
]);
const PREFIXES = ['pgsql_tmp', 'pg_internal.init'] as const;

/** Kept as empty directories, wherever they lie: the server fills them when it starts. */
const EMPTIED: ReadonlySet<string> = new Set([
  'pg_stat_tmp',
  'pg_replslot',
  'pg_dynshmem',
  'pg_notify',
  'pg_serial',
  'pg_snapshots',
  'pg_subtrans',
]);

const DATABASE_DIRECTORY = /^(?:base|pg_tblspc\/[0-9]+\/PG_[0-9]+_[0-9]+)\/[0-9]+$/;
const TEMPORARY_RELATION = /^t[0-9]+_[0-9]+(?:_(?:fsm|vm|init))?(?:\.[0-9]+)?$/;
const RELATION = /^([0-9]+)(?:_(fsm|vm|init))?(?:\.[0-9]+)?$/;

/** True for a directory whose content is left out though it is itself kept. */
export function isEmptied(name: string): boolean {
  return EMPTIED.has(name);
}

/** Directories that are made anew below `pg_wal`, whose content is left out. */
export function walDirectories(major: number): readonly string[] {
  return major >= 17 ? ['archive_status', 'summaries'] : ['archive_status'];
}

/**
 * Which of the names in a directory are left out: temporary files and relations, files of the running server, and
 * unlogged relations except for their init fork, from which recovery makes them anew, empty.
 * @param directory relative to the data directory, `.` for itself; of a tablespace `pg_tblspc/<oid>/…`
 */
export function excludedNames(directory: string, names: readonly string[], major: number): ReadonlySet<string> {
  const excluded = new Set(
    names.filter((name) => FILES.has(name) || PREFIXES.some((prefix) => name.startsWith(prefix))),
  );
  const relations = DATABASE_DIRECTORY.test(directory) || (major >= 17 && directory === 'global');
  if (!relations) return excluded;
  const unlogged = new Set(names.flatMap((name) => (name.endsWith('_init') ? [name.slice(0, -'_init'.length)] : [])));
  for (const name of names) {
    const [, node = '', fork] = RELATION.exec(name) ?? [];
    if (TEMPORARY_RELATION.test(name) || (fork !== 'init' && unlogged.has(node))) excluded.add(name);
  }
  return excluded;
}
