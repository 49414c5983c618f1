/**
 * Connection parameters as libpq names them.
 * @see https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-PARAMKEYWORDS
 * @packageDocumentation
 */
import { KeyframeError } from '@keyframe/contracts';

/** A parameter that is understood. */
export type Keyword =
  | 'host'
  | 'hostaddr'
  | 'port'
  | 'dbname'
  | 'user'
  | 'password'
  | 'passfile'
  | 'connect_timeout'
  | 'options'
  | 'application_name'
  | 'fallback_application_name'
  | 'client_encoding'
  | 'sslmode'
  | 'sslnegotiation'
  | 'sslrootcert'
  | 'sslcert'
  | 'sslkey'
  | 'sslpassword'
  | 'sslsni'
  | 'ssl_min_protocol_version'
  | 'ssl_max_protocol_version'
  | 'channel_binding'
  | 'target_session_attrs'
  | 'load_balance_hosts'
  | 'gssencmode'
  | 'keepalives'
  | 'keepalives_idle';

/** Parameters that are understood, with the variable that sets them where the url does not. */
const VARIABLES: Readonly<Record<Keyword, string | undefined>> = {
  host: 'PGHOST',
  hostaddr: 'PGHOSTADDR',
  port: 'PGPORT',
  dbname: 'PGDATABASE',
  user: 'PGUSER',
  password: 'PGPASSWORD',
  passfile: 'PGPASSFILE',
  connect_timeout: 'PGCONNECT_TIMEOUT',
  options: 'PGOPTIONS',
  application_name: 'PGAPPNAME',
  fallback_application_name: undefined,
  client_encoding: undefined,
  sslmode: 'PGSSLMODE',
  sslnegotiation: 'PGSSLNEGOTIATION',
  sslrootcert: 'PGSSLROOTCERT',
  sslcert: 'PGSSLCERT',
  sslkey: 'PGSSLKEY',
  sslpassword: undefined,
  sslsni: 'PGSSLSNI',
  ssl_min_protocol_version: 'PGSSLMINPROTOCOLVERSION',
  ssl_max_protocol_version: 'PGSSLMAXPROTOCOLVERSION',
  channel_binding: 'PGCHANNELBINDING',
  target_session_attrs: 'PGTARGETSESSIONATTRS',
  load_balance_hosts: 'PGLOADBALANCEHOSTS',
  gssencmode: 'PGGSSENCMODE',
  keepalives: undefined,
  keepalives_idle: undefined,
};

/** Parameters of libpq that change whom we trust or where we connect; ignoring one silently would be wrong. */
const UNSUPPORTED: Readonly<Record<string, string | undefined>> = {
  service: 'PGSERVICE',
  servicefile: 'PGSERVICEFILE',
  require_auth: 'PGREQUIREAUTH',
  requirepeer: 'PGREQUIREPEER',
  sslcrl: 'PGSSLCRL',
  sslcrldir: 'PGSSLCRLDIR',
  sslcertmode: 'PGSSLCERTMODE',
  krbsrvname: 'PGKRBSRVNAME',
  gsslib: 'PGGSSLIB',
  gssdelegation: 'PGGSSDELEGATION',
  scram_client_key: undefined,
  scram_server_key: undefined,
  oauth_issuer: undefined,
  oauth_client_id: undefined,
};

/** Parameters of libpq without any effect here, accepted so that a url that works elsewhere works. */
const WITHOUT_EFFECT: ReadonlySet<string> = new Set([
  'sslcompression',
  'keepalives_interval',
  'keepalives_count',
  'tcp_user_timeout',
  'min_protocol_version',
  'max_protocol_version',
  'sslkeylogfile',
]);

const isKeyword = (name: string): name is Keyword => Object.hasOwn(VARIABLES, name);

/** Where a parameter came from, to name it in an error. */
interface Parameter {
  readonly value: string;
  readonly origin: string;
}

/** All parameters that are set. */
export type Parameters = ReadonlyMap<Keyword, Parameter>;

/**
 * Joins what the url says with the PG* variables; the url wins.
 * @throws {KeyframeError} INVALID_OPTION for a parameter that libpq does not know or that is not supported.
 */
export function joinParameters(
  given: ReadonlyMap<string, string>,
  environment: Readonly<Record<string, string | undefined>>,
): Parameters {
  const parameters = new Map<Keyword, Parameter>();
  for (const [keyword, variable] of Object.entries(VARIABLES)) {
    const value = variable === undefined ? undefined : environment[variable];
    if (value !== undefined && isKeyword(keyword)) parameters.set(keyword, { value, origin: variable ?? keyword });
  }
  for (const variable of Object.values(UNSUPPORTED)) {
    if (variable !== undefined && environment[variable]) throw unsupported(variable);
  }
  for (const [name, value] of given) {
    if (isKeyword(name)) parameters.set(name, { value, origin: name });
    else if (Object.hasOwn(UNSUPPORTED, name)) throw unsupported(name);
    else if (!WITHOUT_EFFECT.has(name)) throw unknown(name);
  }
  return parameters;
}

function unsupported(name: string): KeyframeError {
  return new KeyframeError('INVALID_OPTION', `connection parameter ${name} is not supported`, {
    hint: `Remove ${name} and say the same with other parameters of the source url.`,
    details: { parameter: name },
  });
}

function unknown(name: string): KeyframeError {
  const near = [...Object.keys(VARIABLES), ...Object.keys(UNSUPPORTED)].find((known) => isNear(known, name));
  return new KeyframeError('INVALID_OPTION', `unknown connection parameter ${JSON.stringify(name)}`, {
    hint: near === undefined ? 'Remove it from the source url.' : `Write ${near} in the source url.`,
    details: { parameter: name },
  });
}

/** Same letters but for case, separators, or one letter added, dropped or changed. */
function isNear(known: string, name: string): boolean {
  const [a, b] = [known, name].map((word) => word.toLowerCase().replaceAll(/[^a-z]/g, ''));
  if (a === undefined || b === undefined || Math.abs(a.length - b.length) > 1) return false;
  let start = 0;
  while (start < a.length && a[start] === b[start]) start += 1;
  const [rest, other] = [a.slice(start), b.slice(start)];
  return rest.slice(1) === other.slice(1) || rest.slice(1) === other || rest === other.slice(1);
}
