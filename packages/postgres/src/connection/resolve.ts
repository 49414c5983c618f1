import { homedir, userInfo } from 'node:os';
import { join } from 'node:path';
import { KeyframeError, Secret } from '@keyframe/contracts';
import { parseConnInfo } from './conninfo.ts';
import { type Hosts, readHosts } from './hosts.ts';
import { joinParameters, type Keyword, type Parameters } from './keywords.ts';
import { findPassword, type PasswordEntry, readPasswordFile } from './password-file.ts';
import { readSsl } from './ssl.ts';
import type { ConnectionTarget, Environment, ServerHost } from './target.ts';
import { isConnectionUri, parseConnectionUri } from './uri.ts';
import { readChoice, readNumber } from './values.ts';

const SESSION_ATTRIBUTES = ['any', 'read-write', 'read-only', 'primary', 'standby', 'prefer-standby'] as const;
const CHANNEL_BINDING = ['disable', 'prefer', 'require'] as const;
/** `replication` stands for replication connections in the password file. */
const REPLICATION = 'replication';

/**
 * Says where and how to connect: the url (a libpq URI or `keyword=value` string), then PG* variables, then the
 * password file, then libpq's defaults. Reads that file and nothing else.
 * @throws {KeyframeError} INVALID_OPTION
 * @see https://www.postgresql.org/docs/18/libpq-connect.html
 */
export async function resolveConnection(url: string | undefined, environment: Environment): Promise<ConnectionTarget> {
  const parameters = joinParameters(parse(url?.trim() ?? ''), environment);
  refuseUnsupportedValues(parameters);
  const home = environment['HOME'] || homedir();
  const user = textOf(parameters, 'user') ?? systemUser();
  const database = textOf(parameters, 'dbname') ?? user;
  const { password, passwordFile, entries, warnings } = await readPasswords(parameters, home);
  const lookup = { user, database, password, entries };
  return {
    hosts: readHosts(parameters).map((host) => withPasswords(host, lookup)),
    user,
    password,
    passwordFile,
    database,
    ssl: readSsl(parameters, home),
    channelBinding: readChoice(parameters, 'channel_binding', CHANNEL_BINDING) ?? 'prefer',
    connectTimeoutMs: connectTimeout(parameters),
    applicationName: applicationName(parameters),
    options: textOf(parameters, 'options'),
    targetSessionAttributes: readChoice(parameters, 'target_session_attrs', SESSION_ATTRIBUTES) ?? 'any',
    loadBalance: readChoice(parameters, 'load_balance_hosts', ['disable', 'random'] as const) === 'random',
    keepAliveSeconds: keepAlive(parameters),
    warnings,
  };
}

/** The value of a parameter; an empty one counts as not given. */
function textOf(parameters: Parameters, keyword: Keyword): string | undefined {
  return parameters.get(keyword)?.value || undefined;
}

function connectTimeout(parameters: Parameters): number {
  // Like libpq, zero and negative mean no limit.
  return Math.max(0, readNumber(parameters, 'connect_timeout') ?? 0) * 1000;
}

function applicationName(parameters: Parameters): string {
  return textOf(parameters, 'application_name') ?? textOf(parameters, 'fallback_application_name') ?? 'keyframe';
}

interface Passwords {
  readonly password: Secret | undefined;
  readonly passwordFile: string | undefined;
  readonly entries: readonly PasswordEntry[];
  readonly warnings: readonly string[];
}

/** The given password, or else the password file. */
async function readPasswords(parameters: Parameters, home: string): Promise<Passwords> {
  const given = textOf(parameters, 'password');
  if (given !== undefined) return { password: new Secret(given), passwordFile: undefined, entries: [], warnings: [] };
  const passwordFile = textOf(parameters, 'passfile') ?? join(home, '.pgpass');
  const { entries, warning } = await readPasswordFile(passwordFile);
  return { password: undefined, passwordFile, entries, warnings: warning === undefined ? [] : [warning] };
}

function parse(text: string): ReadonlyMap<string, string> {
  return isConnectionUri(text) ? parseConnectionUri(text) : parseConnInfo(text);
}

function systemUser(): string {
  try {
    return userInfo().username;
  } catch (cause) {
    throw new KeyframeError('INVALID_OPTION', 'no user to connect as: the operating system has no name for this one', {
      cause,
      hint: 'Name the user in the source url or by PGUSER.',
    });
  }
}

interface Lookup {
  readonly user: string;
  readonly database: string;
  readonly password: Secret | undefined;
  readonly entries: readonly PasswordEntry[];
}

function withPasswords({ passwordHost, ...host }: Hosts[number], lookup: Lookup): ServerHost {
  const find = (database: string): Secret | undefined =>
    lookup.password ??
    findPassword(lookup.entries, { host: passwordHost, port: host.port, user: lookup.user, database });
  const password = find(lookup.database);
  return { ...host, password, replicationPassword: find(REPLICATION) ?? password };
}

function keepAlive(parameters: Parameters): number {
  if (readNumber(parameters, 'keepalives') === 0) return 0;
  return Math.max(0, readNumber(parameters, 'keepalives_idle') ?? 0) || 60;
}

/** Parameters of which only the usual values can be served. */
function refuseUnsupportedValues(parameters: Parameters): void {
  readChoice(parameters, 'gssencmode', ['disable', 'prefer'] as const);
  readChoice(parameters, 'client_encoding', ['auto', 'utf8', 'UTF8', 'utf-8', 'UTF-8'] as const);
}
