import { KeyframeError } from '@keyframe/contracts';

const SCHEME = /^postgres(?:ql)?:\/\//;

/** True for `postgresql://…` and `postgres://…`. */
export function isConnectionUri(text: string): boolean {
  return SCHEME.test(text);
}

/**
 * Reads a connection URI the way libpq does: several hosts and ports, each part percent-encoded, parameters after `?`.
 * The text may hold a password, so errors name the part at fault and never quote it.
 * @throws {KeyframeError} INVALID_OPTION
 * @see https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-CONNSTRING-URIS
 */
export function parseConnectionUri(text: string): ReadonlyMap<string, string> {
  const parameters = new Map<string, string>();
  // Like libpq: whatever precedes an @ before the first slash is the user, so an unencoded ? may stand in a password.
  const [, credentials, rest = ''] = /^(?:([^@/]*)@)?(.*)$/s.exec(text.replace(SCHEME, '')) ?? [];
  const [, places = '', database = '', query] = /^([^/?]*)(?:\/([^?]*))?(?:\?(.*))?$/s.exec(rest) ?? [];
  if (credentials !== undefined) readCredentials(credentials, parameters);
  if (places !== '') readPlaces(places, parameters);
  if (database !== '') parameters.set('dbname', decode(database, 'database'));
  if (query) for (const pair of query.split('&')) readPair(pair, parameters);
  return parameters;
}

function readCredentials(credentials: string, parameters: Map<string, string>): void {
  const [, user = '', password = ''] = /^([^:]*)(?::(.*))?$/s.exec(credentials) ?? [];
  if (user !== '') parameters.set('user', decode(user, 'user'));
  if (password !== '') parameters.set('password', decode(password, 'password'));
}

function readPlaces(places: string, parameters: Map<string, string>): void {
  const split = places.split(',').map(splitPlace);
  const hosts = split.map(({ host }) => decode(host, 'host')).join(',');
  const ports = split.map(({ port }) => decode(port, 'port')).join(',');
  if (hosts !== '') parameters.set('host', hosts);
  if (/[^,]/.test(ports)) parameters.set('port', ports);
}

function splitPlace(place: string): { readonly host: string; readonly port: string } {
  if (!place.startsWith('[')) {
    const colon = place.indexOf(':');
    return colon < 0 ? { host: place, port: '' } : { host: place.slice(0, colon), port: place.slice(colon + 1) };
  }
  const match = /^\[([^\]]+)\](?::(.*))?$/.exec(place);
  if (match?.[1] === undefined) throw malformed('host', 'an IPv6 address stands in [ ] and only a port may follow');
  return { host: match[1], port: match[2] ?? '' };
}

function readPair(pair: string, parameters: Map<string, string>): void {
  const [name, value, ...more] = pair.split('=');
  if (!name || value === undefined) throw malformed('parameter list', 'each parameter is name=value');
  const keyword = decode(name, 'parameter name');
  if (more.length > 0) throw malformed(keyword, 'a second = must be written %3D');
  // Known from JDBC, and translated by libpq as well.
  if (keyword === 'ssl' && value === 'true') parameters.set('sslmode', 'require');
  else parameters.set(keyword, decode(value, keyword));
}

function decode(text: string, part: string): string {
  if (!text.includes('%')) return text;
  if (/%(?![0-9A-Fa-f]{2})/.test(text)) throw malformed(part, 'a % must be written %25');
  if (text.includes('%00')) throw malformed(part, '%00 is not allowed');
  try {
    return decodeURIComponent(text);
  } catch (cause) {
    throw malformed(part, 'the percent-encoded bytes are not UTF-8', cause);
  }
}

function malformed(part: string, reason: string, cause?: unknown): KeyframeError {
  return new KeyframeError('INVALID_OPTION', `malformed ${part} in the connection url: ${reason}`, {
    cause,
    hint: 'Write the source url as postgresql://user@host:5432/database?name=value, special characters as %XX.',
    details: { part },
  });
}
