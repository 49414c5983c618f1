import { KeyframeError } from '@keyframe/contracts';
import type { ServerNotice } from './backend.ts';

/** Hints by SQLSTATE, where PostgreSQL's own is missing or says nothing about Keyframe. */
const HINTS: Readonly<Record<string, string>> = {
  '28000':
    'Let <user> in by pg_hba.conf: `keyframe setup` prints the lines, a backup needs the one for `replication`; then run ' +
    '`select pg_reload_conf()`.',
  '28P01': 'Correct the password in the source url, PGPASSWORD or the password file (~/.pgpass).',
  '3D000': 'Name an existing database in the source url.',
  '42501': 'Run `alter role <user> replication`, or print the needed rights by `keyframe setup`.',
  '53300': 'Raise max_connections or max_wal_senders, or end sessions that are no longer used.',
  '57P03': 'Wait until the server accepts connections; its log tells how far it is.',
  '58P01': 'Check that the name is right; `select pg_ls_waldir()` lists what the server has.',
};

/** `28000` is also the state of a role that is not there, or must not log in. */
const NO_LOGIN = /^role ".*" (?:does not exist|is not permitted to log in)$/;
const NO_LOGIN_HINT =
  'Make the role with `keyframe setup --apply` (as a superuser: `--admin <name>`), or name another user in the source url.';

/** States in which the server goes away or is not there yet: the same call may work later, or on another host. */
const AWAY: ReadonlySet<string> = new Set(['57P01', '57P02', '57P03', '57P05']);

function isRefusal({ code }: ServerNotice, starting: boolean): boolean {
  return code.startsWith('28') || (starting && (code === '42501' || code === '3D000'));
}

/** What an error's code and hint depend on beside what the server said. */
export interface ServerErrorContext {
  /** True before the server accepted the connection. */
  readonly starting: boolean;
  /** For hints that name the role. */
  readonly user?: string | undefined;
}

/** Turns what the server said into the error to raise. */
export function serverError(notice: ServerNotice, { starting, user }: ServerErrorContext): KeyframeError {
  const { code, message, detail, severity } = notice;
  const known = NO_LOGIN.test(message) ? NO_LOGIN_HINT : HINTS[code];
  const hint = known?.replaceAll('<user>', user ?? 'the role') ?? notice.hint;
  const details = { sqlstate: code, severity, ...(detail === undefined ? {} : { detail }) };
  const text = detail === undefined ? message : `${message} (${detail})`;
  const init = { hint, details };
  if (isRefusal(notice, starting)) return new KeyframeError('SERVER_REFUSED', `the server refused: ${text}`, init);
  if (AWAY.has(code)) return new KeyframeError('SERVER_UNREACHABLE', `the server went away: ${text}`, init);
  return new KeyframeError('SERVER_ERROR', `the server answered: ${text}`, init);
}

/** The connection ended although more was expected. */
export function connectionLost(cause: Error | undefined): KeyframeError {
  const reason = cause === undefined ? 'the server closed it' : reasonOf(cause);
  return new KeyframeError('SERVER_UNREACHABLE', `connection lost: ${reason}`, {
    cause,
    hint: 'Look into the server log (`select pg_current_logfile()`), then run the same command again.',
  });
}

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: 'connection refused',
  ECONNRESET: 'connection reset',
  EHOSTUNREACH: 'no route to host',
  ENETUNREACH: 'network unreachable',
  ENOENT: 'no such socket',
  ENOTFOUND: 'no such host',
  EAI_AGAIN: 'name lookup failed for the moment',
  EACCES: 'permission denied',
  EPIPE: 'connection reset',
  ETIMEDOUT: 'timed out',
};

/** Words for why a socket failed. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const code = 'code' in error && typeof error.code === 'string' ? error.code : undefined;
  const words = code === undefined ? undefined : REASONS[code];
  return words === undefined || code === undefined ? error.message : `${words} (${code})`;
}

/** What arrived cannot be PostgreSQL's protocol. */
export function malformed(what: string): KeyframeError {
  return new KeyframeError('SERVER_ERROR', `the server does not speak PostgreSQL's protocol: ${what}`, {
    hint: 'Check that host and port of the source url are those of PostgreSQL, not of a proxy or another service.',
  });
}
