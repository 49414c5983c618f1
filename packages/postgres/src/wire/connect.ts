import { lookup } from 'node:dns/promises';
import { type Abortable, hasCode, isKeyframeError, KeyframeError } from '@keyframe/contracts';
import { type ConnectionTarget, isSocketDirectory, type ServerHost } from '../connection/target.ts';
import { reasonOf } from './errors.ts';
import { type Endpoint, socketPath } from './socket.ts';

/** What a session tells about its server, to choose by `target_session_attrs`. */
interface SessionFacts {
  readonly standby: boolean;
  readonly readOnly: boolean;
}

/** How to connect to one endpoint, and what to ask the session then. */
export interface Connector<Session> {
  /** Connects and authenticates. A raw socket error counts as "not reached". */
  open(endpoint: Endpoint, host: ServerHost, signal: AbortSignal): Promise<Session>;
  facts(session: Session): SessionFacts | Promise<SessionFacts>;
  close(session: Session): Promise<void>;
}

interface Miss {
  readonly place: string;
  readonly reason: string;
  readonly hint: string | undefined;
  readonly error: unknown;
}

/**
 * Tries the hosts of the target in libpq's order (each address of each host, with and without TLS as sslmode allows)
 * and resolves with the first session of the wanted kind. A refused login ends the search, a dead host does not.
 * @throws {KeyframeError} SERVER_UNREACHABLE with every place tried and its reason, SERVER_REFUSED, SERVER_ERROR
 * @see https://www.postgresql.org/docs/18/libpq-connect.html#LIBPQ-MULTIPLE-HOSTS
 */
export async function connectFirst<Session>(
  target: ConnectionTarget,
  connector: Connector<Session>,
  options: Abortable = {},
): Promise<Session> {
  const misses: Miss[] = [];
  const { targetSessionAttributes: wanted } = target;
  for (const kind of wanted === 'prefer-standby' ? (['standby', 'any'] as const) : [wanted]) {
    for (const host of target.loadBalance ? shuffled(target.hosts) : target.hosts) {
      for await (const endpoint of endpointsOf(target, host, misses, options)) {
        const session = await attempt({ target, connector, host, endpoint, misses }, options);
        if (session === undefined) continue;
        forget(misses, endpoint);
        const mismatch = await mismatchOf(connector, session, kind).catch(async (error: unknown) => {
          await connector.close(session);
          throw error;
        });
        if (mismatch === undefined) return session;
        misses.push({ place: placeOf(endpoint), reason: mismatch, hint: undefined, error: undefined });
        await connector.close(session);
      }
    }
  }
  throw noneReached(misses);
}

/** The server was reached after all, without the TLS that it does not have. */
function forget(misses: Miss[], endpoint: Endpoint): void {
  while (misses.at(-1)?.place === placeOf(endpoint)) misses.pop();
}

type Encryption = Endpoint['encryption'];

function encryptionsOf({ ssl }: ConnectionTarget, host: ServerHost): readonly Encryption[] {
  if (isSocketDirectory(host.host) || ssl.mode === 'disable') return ['plain'];
  if (ssl.mode === 'allow') return ['plain', 'tls'];
  return ssl.mode === 'prefer' ? ['tls', 'plain'] : ['tls'];
}

/** Endpoints of one host. The next one is only asked for when the one before failed. */
async function* endpointsOf(
  target: ConnectionTarget,
  host: ServerHost,
  misses: Miss[],
  options: Abortable,
): AsyncGenerator<Endpoint> {
  for (const address of await addressesOf(host, misses, options)) {
    for (const encryption of encryptionsOf(target, host)) {
      const before = misses.length;
      yield { host: host.host, address, port: host.port, encryption };
      // Not even a connection: the other encryption would fail the same way.
      if (misses.length > before && isConnectFault(misses.at(-1)?.error)) break;
    }
  }
}

async function addressesOf(host: ServerHost, misses: Miss[], { signal }: Abortable): Promise<readonly string[]> {
  if (host.address !== undefined) return [host.address];
  if (isSocketDirectory(host.host)) return [socketPath(host.host, host.port)];
  try {
    const found = await abortable(lookup(host.host, { all: true }), signal);
    return found.map(({ address }) => address);
  } catch (error) {
    signal?.throwIfAborted();
    misses.push({ place: `${host.host}:${host.port}`, reason: reasonOf(error), hint: undefined, error });
    return [];
  }
}

/** Name lookups cannot be cancelled; the caller need not wait for one that takes long. */
async function abortable<T>(promise: Promise<T>, signal: AbortSignal | undefined): Promise<T> {
  if (signal === undefined) return promise;
  signal.throwIfAborted();
  const { promise: aborted, reject } = Promise.withResolvers<never>();
  const onAbort = (): void => reject(signal.reason);
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    return await Promise.race([promise, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

interface Attempt<Session> {
  readonly target: ConnectionTarget;
  readonly connector: Connector<Session>;
  readonly host: ServerHost;
  readonly endpoint: Endpoint;
  readonly misses: Miss[];
}

/** A session, or `undefined` after noting why there is none and the search goes on. */
async function attempt<Session>(given: Attempt<Session>, { signal }: Abortable): Promise<Session | undefined> {
  const { target, connector, host, endpoint, misses } = given;
  const limit = target.connectTimeoutMs > 0 ? AbortSignal.timeout(target.connectTimeoutMs) : undefined;
  const signals = [signal, limit].filter((each) => each !== undefined);
  try {
    return await connector.open(endpoint, host, AbortSignal.any(signals));
  } catch (error) {
    signal?.throwIfAborted();
    if (limit?.aborted !== true && !goesOn(error, target, endpoint)) throw placed(error, endpoint);
    const reason = limit?.aborted === true ? `timed out after ${target.connectTimeoutMs / 1000} s` : reasonOf(error);
    misses.push({
      place: placeOf(endpoint),
      reason,
      hint: hintFor(error, target),
      error: limit?.aborted === true ? limit.reason : error,
    });
    return undefined;
  }
}

function hintFor(error: unknown, { ssl }: ConnectionTarget): string | undefined {
  if (isKeyframeError(error)) return error.hint;
  if (!(error instanceof Error) || isConnectFault(error)) return undefined;
  const code = 'code' in error && typeof error.code === 'string' ? error.code : '';
  if (/CERT|VERIFY|ALTNAME|CRL/.test(code))
    return 'Set sslrootcert in the source url to the authority that signed the certificate, and host to a name in it.';
  return ssl.negotiation === 'direct' ? 'Remove sslnegotiation=direct: it needs PostgreSQL 17 or later.' : undefined;
}

/** Whether another place may be tried after this fault. */
function goesOn(error: unknown, target: ConnectionTarget, endpoint: Endpoint): boolean {
  if (!isKeyframeError(error) || error.code === 'SERVER_UNREACHABLE') return true;
  // pg_hba.conf may have a line for the other kind of connection. A wrong password is wrong in both.
  const other = target.ssl.mode === (endpoint.encryption === 'tls' ? 'prefer' : 'allow');
  return error.code === 'SERVER_REFUSED' && error.details['sqlstate'] === '28000' && other && !isLocal(endpoint);
}

const isLocal = ({ host }: Endpoint): boolean => isSocketDirectory(host);

/** The same error, saying which server it came from. */
function placed(error: unknown, endpoint: Endpoint): unknown {
  if (!hasCode(error, 'SERVER_REFUSED', 'SERVER_ERROR')) return error;
  return new KeyframeError(error.code, `${placeOf(endpoint)}: ${error.message}`, {
    cause: error,
    hint: error.hint,
    details: { ...error.details, server: placeOf(endpoint) },
  });
}

function placeOf({ host, address, port }: Endpoint): string {
  if (isSocketDirectory(host)) return address.replace('\0', '@');
  const named = host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
  return host === address ? named : `${named} (${address})`;
}

function isConnectFault(error: unknown): boolean {
  if (!(error instanceof Error)) return false;
  return error.name === 'TimeoutError' || ('syscall' in error && error.syscall === 'connect');
}

async function mismatchOf<Session>(
  connector: Connector<Session>,
  session: Session,
  wanted: ConnectionTarget['targetSessionAttributes'],
): Promise<string | undefined> {
  if (wanted === 'any') return undefined;
  const { standby, readOnly } = await connector.facts(session);
  const fits = {
    'read-write': !standby && !readOnly,
    'read-only': standby || readOnly,
    primary: !standby,
    standby,
    'prefer-standby': standby,
  }[wanted];
  const found = standby ? 'a standby' : readOnly ? 'a read-only primary' : 'a primary';
  return fits ? undefined : `it is ${found}, wanted is ${wanted} (target_session_attrs)`;
}

function noneReached(misses: readonly Miss[]): KeyframeError {
  const lines = [...new Set(misses.map(({ place, reason }) => `${place}: ${reason}`))];
  const refused = misses.findLast(({ error }) => hasCode(error, 'SERVER_REFUSED'));
  const code = refused === undefined ? 'SERVER_UNREACHABLE' : 'SERVER_REFUSED';
  return new KeyframeError(code, `cannot connect to PostgreSQL: ${lines.join('; ')}`, {
    cause: misses.at(-1)?.error,
    hint:
      misses.findLast(({ hint }) => hint !== undefined)?.hint ??
      'Check host and port of the source url, and listen_addresses and unix_socket_directories of the server.',
    details: { tried: lines.length },
  });
}

function shuffled<T>(items: readonly T[]): readonly T[] {
  const order = [...items];
  for (let last = order.length - 1; last > 0; last -= 1) {
    const other = Math.floor(Math.random() * (last + 1));
    const [a, b] = [order[last], order[other]];
    if (a !== undefined && b !== undefined) [order[last], order[other]] = [b, a];
  }
  return order;
}
