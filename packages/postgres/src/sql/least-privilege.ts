/** The role Keyframe works with: may replicate, watch and mark the WAL, and read no table. @packageDocumentation */

/** A name as an SQL identifier. */
export function quoteIdentifier(name: string): string {
  return `"${name.replaceAll('"', '""')}"`;
}

/** A text as an SQL literal, whatever standard_conforming_strings says. */
export function quoteLiteral(text: string): string {
  const quoted = `'${text.replaceAll("'", "''")}'`;
  return text.includes('\\') ? `E${quoted.replaceAll('\\', '\\\\')}` : quoted;
}

/**
 * Statements that make (or complete) a least-privilege role on that major. Doing it twice is harmless. The EXECUTE rights
 * hold in one database: run them in the one Keyframe connects to. No password is set: use peer or certificate
 * authentication, or `\password`.
 */
export function leastPrivilegeSql(major: number, role: string): string[] {
  const name = quoteIdentifier(role);
  const create = `CREATE ROLE ${name} LOGIN REPLICATION`;
  const functions = [
    'pg_switch_wal()',
    'pg_create_restore_point(text)',
    major >= 17
      ? 'pg_logical_emit_message(boolean, text, text, boolean)'
      : 'pg_logical_emit_message(boolean, text, text)',
    // A local backup (pg_backup_start in one session, files read beside it) needs these two.
    ...(major >= 15
      ? ['pg_backup_start(text, boolean)', 'pg_backup_stop(boolean)']
      : ['pg_start_backup(text, boolean, boolean)', 'pg_stop_backup(boolean, boolean)']),
  ];
  const makeOnce =
    `BEGIN IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = ${quoteLiteral(role)}) ` +
    `THEN ${create}; END IF; END`;
  return [
    // Dollar quotes are for the reader; a name that could end them early gets the other kind.
    `DO ${role.includes('$') ? quoteLiteral(makeOnce) : `$$ ${makeOnce} $$`}`,
    `ALTER ROLE ${name} LOGIN REPLICATION`,
    `GRANT pg_monitor TO ${name}`,
    ...functions.map((each) => `GRANT EXECUTE ON FUNCTION pg_catalog.${each} TO ${name}`),
  ];
}
