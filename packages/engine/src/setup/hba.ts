/** Lines that let the role in. @packageDocumentation */

/** Who comes from where. */
export interface HbaRequest {
  readonly role: string;
  /** The database Keyframe connects to. */
  readonly database: string;
  /** `socket`, or the address from which Keyframe comes, with its mask. */
  readonly from: { readonly kind: 'socket' } | { readonly kind: 'address'; readonly network: string };
  /** Who runs Keyframe on this machine. */
  readonly systemUser: string;
}

/** A name as pg_hba.conf and pg_ident.conf want it: in quotes it has no special meaning, not even `all`. */
function quoted(name: string): string {
  return /^[a-z_][a-z0-9_]*$/.test(name) && !['all', 'replication', 'sameuser', 'samerole', 'samegroup'].includes(name)
    ? name
    : `"${name.replaceAll('"', '""')}"`;
}

/**
 * Two lines of pg_hba.conf, for SQL and for replication: `all` does not cover replication. Through a socket the operating
 * system vouches for the user, by a map where it has another name; from elsewhere the password does.
 */
export function renderHba({ role, database, from, systemUser }: HbaRequest): { hba: string[]; ident: string[] } {
  const user = quoted(role);
  if (from.kind === 'address') {
    const line = (name: string): string => `host  ${name}  ${user}  ${from.network}  scram-sha-256`;
    return { hba: [line(quoted(database)), line('replication')], ident: [] };
  }
  const mapped = systemUser !== role;
  const method = mapped ? 'peer map=keyframe' : 'peer';
  return {
    hba: [`local  ${quoted(database)}  ${user}  ${method}`, `local  replication  ${user}  ${method}`],
    ident: mapped ? [`keyframe  ${quoted(systemUser)}  ${user}`] : [],
  };
}
