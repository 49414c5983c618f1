import { once } from 'node:events';
import { connect, type OnReadOpts, type Socket } from 'node:net';
import { connect as connectTls } from 'node:tls';
import { KeyframeError } from '@keyframe/contracts';
import { isSocketDirectory, type SslSettings } from '../connection/target.ts';
import { sslRequest } from './frontend.ts';
import { ALPN, tlsOptions } from './tls.ts';

/** One address to try, in one way. */
export interface Endpoint {
  /** Host as the user wrote it: what a certificate must name. */
  readonly host: string;
  /** Numeric address, or the path of a unix socket. */
  readonly address: string;
  readonly port: number;
  readonly encryption: 'plain' | 'tls';
}

/** How to open a socket. */
export interface SocketOptions {
  readonly ssl: SslSettings;
  readonly keepAliveSeconds: number;
  readonly signal: AbortSignal;
  /** Reads into an owned buffer where the kind of socket can do that; else the socket emits `data`. */
  readonly onread?: OnReadOpts | undefined;
}

/** Address of the unix socket of a server. `@` is Linux' abstract name space. */
export function socketPath(directory: string, port: number): string {
  const path = `${directory}/.s.PGSQL.${port}`;
  return path.startsWith('@') ? `\0${path.slice(1)}` : path;
}

/**
 * Connects, and negotiates TLS where the endpoint wants it. The socket belongs to the caller.
 * @throws whatever the socket raised; {@link KeyframeError} SERVER_UNREACHABLE when the server has no TLS.
 */
export async function openSocket(endpoint: Endpoint, options: SocketOptions): Promise<Socket> {
  const { encryption } = endpoint;
  options.signal.throwIfAborted();
  if (encryption === 'plain') return openPlain(endpoint, options, options.onread);
  if (options.ssl.negotiation === 'direct') return openDirect(endpoint, options);
  const socket = await openPlain(endpoint, options, undefined);
  return destroyOnFault(socket, async () => {
    await requestTls(socket, options.signal);
    // `onread` is silently ignored here: the wrapped socket emits `data`.
    const secure = connectTls({ ...(await tlsOptions(options.ssl, endpoint.host)), socket });
    await established(secure, 'secureConnect', options.signal);
    return secure;
  });
}

async function openPlain(endpoint: Endpoint, options: SocketOptions, onread?: OnReadOpts): Promise<Socket> {
  const { host, address, port } = endpoint;
  const place = isSocketDirectory(host) ? { path: address } : { host: address, port };
  const socket = connect({ ...place, ...(onread === undefined ? {} : { onread }) });
  await established(socket, 'connect', options.signal);
  return tuned(socket, options);
}

async function openDirect(endpoint: Endpoint, options: SocketOptions): Promise<Socket> {
  const { address, port, host } = endpoint;
  const { onread } = options;
  const secure = connectTls({
    ...(await tlsOptions(options.ssl, host)),
    host: address,
    port,
    ...(onread === undefined ? {} : { onread }),
  });
  await established(secure, 'secureConnect', options.signal);
  if (secure.alpnProtocol !== ALPN) {
    secure.destroy();
    throw unreachable('it answered with TLS but does not speak PostgreSQL there', 'Check the port of the source url.');
  }
  return tuned(secure, options);
}

function tuned<T extends Socket>(socket: T, { keepAliveSeconds }: SocketOptions): T {
  socket.setNoDelay(true);
  if (keepAliveSeconds > 0) socket.setKeepAlive(true, keepAliveSeconds * 1000);
  return socket;
}

/** Asks for TLS. The server answers one letter, and nothing may follow it that TLS does not protect. */
async function requestTls(socket: Socket, signal: AbortSignal): Promise<void> {
  socket.write(sslRequest());
  await happens(socket, 'readable', signal);
  const answer: unknown = socket.read();
  const text = Buffer.isBuffer(answer) ? answer.toString('latin1') : '';
  if (text === 'S') return;
  if (text === 'N')
    throw unreachable(
      'the server has no TLS',
      'Set `ssl = on` in postgresql.conf, or sslmode=prefer or disable in the source url.',
    );
  if (text === '') throw unreachable('the server closed the connection when asked for TLS');
  throw unreachable('it answered the request for TLS with something else', 'Check the port of the source url.');
}

function unreachable(reason: string, hint?: string): KeyframeError {
  return new KeyframeError('SERVER_UNREACHABLE', reason, { hint });
}

async function established(socket: Socket, event: string, signal: AbortSignal): Promise<void> {
  // The awaited event or `close` tells of a fault; without a listener Node would end the process between two awaits.
  socket.on('error', () => undefined);
  await destroyOnFault(socket, () => happens(socket, event, signal));
}

async function destroyOnFault<T>(socket: Socket, action: () => Promise<T>): Promise<T> {
  try {
    return await action();
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Resolves on the event; rejects on error, close or abort, whichever comes first. */
async function happens(socket: Socket, event: string, signal: AbortSignal): Promise<void> {
  const closed = 'the server closed the connection';
  if (socket.destroyed) throw socket.errored ?? unreachable(closed);
  const settled = new AbortController();
  const either = { signal: AbortSignal.any([signal, settled.signal]) };
  const refuse = (): never => {
    throw unreachable(closed);
  };
  try {
    await Promise.race([once(socket, event, either), once(socket, 'close', either).then(refuse)]);
  } catch (error) {
    signal.throwIfAborted();
    throw error;
  } finally {
    settled.abort();
  }
}
