/** First contact with a server, before there is a role or a config file. @packageDocumentation */
import { existsSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import path from 'node:path';
import { type Abortable, isKeyframeError, type KeyframeError } from '@keyframe/contracts';
import {
  connectSql,
  type ConnectionTarget,
  type Environment,
  inspectServer,
  resolveConnection,
  type ServerFacts,
  type SqlSession,
} from '@keyframe/postgres';

/** What a server told, or why it told nothing. */
export type FirstSight =
  | { readonly facts: ServerFacts; readonly clientAddress: string | undefined; readonly fault?: undefined }
  | { readonly facts: undefined; readonly clientAddress: undefined; readonly fault: KeyframeError };

/** Facts of a server; one that does not answer is an answer too. */
export async function lookAround(
  target: ConnectionTarget,
  now: () => number,
  options: Abortable = {},
): Promise<FirstSight> {
  try {
    const sql = await connectSql(patient(target), options);
    try {
      return { facts: await inspectServer(sql, { now, ...options }), clientAddress: await clientAddressOf(sql) };
    } finally {
      await sql.close();
    }
  } catch (error) {
    options.signal?.throwIfAborted();
    if (!isKeyframeError(error)) throw error;
    return { facts: undefined, clientAddress: undefined, fault: error };
  }
}

/** Our address as the server sees it; `undefined` through a socket. */
export async function clientAddressOf(sql: SqlSession): Promise<string | undefined> {
  const [row] = await sql.query<{ address: string | null }>('select host(inet_client_addr()) as address');
  return row?.address ?? undefined;
}

const PATIENCE_MS = 10_000;

/** For a person who waits: a host that swallows packets would hold us for minutes. */
export function patient(target: ConnectionTarget): ConnectionTarget {
  return target.connectTimeoutMs > 0 ? target : { ...target, connectTimeoutMs: PATIENCE_MS };
}

/** True when every host of the target is this machine, as far as its name tells. */
export function isLocalTarget({ hosts }: ConnectionTarget): boolean {
  return hosts.every(({ host, address }) => /^(?:[/@]|127\.|::1$|localhost$)/.test(address ?? host));
}

/** The data directory of a server, when it is on this machine. */
export async function localDataDirectory(facts: ServerFacts, target: ConnectionTarget): Promise<string | undefined> {
  const { dataDirectory } = facts;
  if (dataDirectory === undefined || !isLocalTarget(target)) return undefined;
  return stat(dataDirectory).then(
    () => dataDirectory,
    () => undefined,
  );
}

/**
 * The same server for the administrator: PGUSER or the system's user, with the password of PGPASSWORD or the password file,
 * instead of what the target says.
 * @throws {KeyframeError} INVALID_OPTION
 */
export async function adminTarget(
  target: ConnectionTarget,
  user: string | undefined,
  environment: Environment,
): Promise<ConnectionTarget> {
  const admin = await resolveConnection(undefined, {
    ...environment,
    PGHOST: target.hosts.map(({ host }) => host).join(','),
    PGPORT: target.hosts.map(({ port }) => port).join(','),
    PGHOSTADDR: undefined,
    PGDATABASE: target.database,
    ...(user === undefined ? {} : { PGUSER: user }),
  });
  const { ssl, channelBinding, connectTimeoutMs, targetSessionAttributes } = target;
  const hosts = admin.hosts.map((host, index) => ({ ...host, address: target.hosts[index]?.address }));
  return patient({ ...admin, hosts, ssl, channelBinding, connectTimeoutMs, targetSessionAttributes });
}

/** A URI for that target with another user and no password. Of several socket directories the one with a socket counts. */
export function connectionUrl(target: ConnectionTarget, user: string): string {
  const { database, hosts, ssl } = target;
  const sockets = hosts.filter(({ host }) => host.startsWith('/'));
  const socket = sockets.find(({ host, port }) => existsSync(path.join(host, `.s.PGSQL.${port}`))) ?? sockets[0];
  const name = encodeURIComponent(user);
  if (socket !== undefined && sockets.length === hosts.length) {
    const port = socket.port === 5432 ? '' : `&port=${socket.port}`;
    return `postgresql://${name}@/${encodeURIComponent(database)}?host=${socket.host}${port}`;
  }
  const places = hosts.map(({ host, port }) => `${encodeURIComponent(host)}${port === 5432 ? '' : `:${port}`}`);
  const mode = ssl.mode === 'prefer' ? '' : `?sslmode=${ssl.mode}`;
  return `postgresql://${name}@${places.join(',')}/${encodeURIComponent(database)}${mode}`;
}
