/** Plain SQL, through the `pg` package. Bulk data and replication have their own client. @packageDocumentation */
import { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { type Abortable, isKeyframeError, KeyframeError } from '@keyframe/contracts';
import type { Client, DatabaseError } from 'pg';
import type { ConnectionTarget, ServerHost } from '../connection/target.ts';
import { connectFirst } from '../wire/connect.ts';
import { connectionLost, serverError } from '../wire/errors.ts';
import { type Endpoint, openSocket } from '../wire/socket.ts';

/** One connection. Queries run one after the other; each is a transaction of its own unless it says BEGIN. */
export interface SqlSession {
  /** As server_version_num: 180006. */
  readonly versionNumber: number;
  /** Aborts with the reason when the connection ends before {@link close}, also between two queries. */
  readonly lost: AbortSignal;
  /**
   * Runs one statement. Booleans, integers up to 32 bits, floats and JSON come as such; every other type as
   * PostgreSQL's text, so that no digit of a bigint or a timestamp is lost.
   * @throws {KeyframeError} SERVER_ERROR with `details.sqlstate`, SERVER_UNREACHABLE when the connection broke
   */
  query<T>(text: string, params?: readonly unknown[]): Promise<T[]>;
  /** Ends the session. Again does nothing. */
  close(): Promise<void>;
}

const CLOSE_TIMEOUT_MS = 1000;

const asNumber = Number;
const PARSERS: ReadonlyMap<number, (text: string) => unknown> = new Map<number, (text: string) => unknown>([
  [16, (text) => text === 't'],
  [21, asNumber],
  [23, asNumber],
  [26, asNumber],
  [700, asNumber],
  [701, asNumber],
  [114, (text) => JSON.parse(text)],
  [3802, (text) => JSON.parse(text)],
]);
const asText = (text: string): unknown => text;

/**
 * Connects to the first host that answers and is of the wanted kind. The signal ends the session whenever it aborts.
 * @throws {KeyframeError} SERVER_UNREACHABLE, SERVER_REFUSED, SERVER_ERROR, INVALID_OPTION
 */
export async function connectSql(target: ConnectionTarget, options: Abortable = {}): Promise<SqlSession> {
  const session = await connectFirst<OpenSession>(
    target,
    {
      open: (endpoint, host, signal) => openSession({ target, endpoint, host, signal, session: options.signal }),
      facts: async (open) => {
        const [row] = await open.query<{ standby: boolean; read_only: string }>(
          `select pg_is_in_recovery() as standby, current_setting('default_transaction_read_only') as read_only`,
        );
        return { standby: row?.standby === true, readOnly: row?.read_only === 'on' };
      },
      close: (open) => open.close(),
    },
    options,
  );
  return session;
}

interface Opening {
  readonly target: ConnectionTarget;
  readonly endpoint: Endpoint;
  readonly host: ServerHost;
  /** Ends the attempt. */
  readonly signal: AbortSignal;
  /** Ends the session. */
  readonly session: AbortSignal | undefined;
}

async function openSession(opening: Opening): Promise<OpenSession> {
  const { target, endpoint, signal } = opening;
  const { ssl, keepAliveSeconds } = target;
  const socket = await openSocket(endpoint, { ssl, keepAliveSeconds, signal });
  const onAbort = (): unknown => socket.destroy();
  signal.addEventListener('abort', onAbort, { once: true });
  try {
    const client = await clientOn(socket, opening);
    try {
      await client.connect();
    } catch (error) {
      socket.destroy();
      signal.throwIfAborted();
      throw translated(error, true);
    }
    const session = new OpenSession(client, socket, opening.session);
    await session.readVersion();
    return session;
  } finally {
    signal.removeEventListener('abort', onAbort);
  }
}

/** Every parameter is given, since `pg` would take what is missing from the environment of the process. */
async function clientOn(socket: Socket, { target, endpoint, host }: Opening): Promise<Client> {
  // Loaded here: a command that only touches files does not pay for it.
  const pg = await import('pg');
  // `pg` connects its own stream; ours is connected and, where wanted, encrypted already.
  const stream = Object.assign(socket, {
    connect(): Socket {
      process.nextTick(() => socket.emit('connect'));
      return socket;
    },
  });
  const encrypted = endpoint.encryption === 'tls';
  const client = new pg.Client({
    stream: () => stream,
    ssl: false,
    host: endpoint.host,
    port: endpoint.port,
    user: target.user,
    database: target.database,
    password: () => passwordFor(target, host),
    application_name: target.applicationName,
    client_encoding: 'UTF8',
    enableChannelBinding: encrypted && target.channelBinding !== 'disable',
    types: { getTypeParser: (type: number) => PARSERS.get(type) ?? asText },
  });
  // Given as empty, `pg` would fall back to PGOPTIONS of the process.
  const parameters: unknown = Reflect.get(client, 'connectionParameters');
  if (parameters instanceof Object) Reflect.set(parameters, 'options', target.options);
  if (target.channelBinding === 'require') requireChannelBinding(client, socket, encrypted);
  // A broken connection is reported by the query that needs it.
  client.on('error', () => undefined);
  return client;
}

function passwordFor(target: ConnectionTarget, host: ServerHost): string {
  const password = host.password ?? target.password;
  if (password !== undefined) return password.reveal();
  throw new KeyframeError('SERVER_REFUSED', `the server asks ${target.user} for a password and none is given`, {
    hint: `Set PGPASSWORD, or add a line to ${target.passwordFile ?? '~/.pgpass'}.`,
  });
}

/** Our listeners come before those of `pg`: on a connection that is cut here, it sends no password. */
function requireChannelBinding(client: Client, socket: Socket, encrypted: boolean): void {
  // Not in the types of `pg`, though documented by its use there.
  const connection: unknown = Reflect.get(client, 'connection');
  if (!(connection instanceof EventEmitter)) throw new KeyframeError('INTERNAL', '`pg` has no connection to watch');
  const refuse = (): void => {
    socket.destroy(
      new KeyframeError('SERVER_REFUSED', 'the server does not offer channel binding, which is required', {
        hint: 'Use TLS and scram-sha-256 in pg_hba.conf, or set channel_binding=prefer in the source url.',
      }),
    );
  };
  connection.on('authenticationSASL', ({ mechanisms }: { readonly mechanisms: readonly string[] }) => {
    if (!encrypted || !mechanisms.includes('SCRAM-SHA-256-PLUS')) refuse();
  });
  connection.on('authenticationCleartextPassword', refuse);
  connection.on('authenticationMD5Password', refuse);
}

/** A connection that has authenticated. */
class OpenSession implements SqlSession {
  versionNumber = 0;
  readonly #client: Client;
  readonly #socket: Socket;
  readonly #signal: AbortSignal | undefined;
  readonly #onAbort = (): unknown => this.#socket.destroy();
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;
  readonly #lost = new AbortController();

  constructor(client: Client, socket: Socket, signal: AbortSignal | undefined) {
    this.#client = client;
    this.#socket = socket;
    this.#signal = signal;
    signal?.addEventListener('abort', this.#onAbort, { once: true });
    // What the server said last comes before the end of the connection.
    client.on('error', (error) => this.#end(error));
    socket.once('close', () => this.#end(socket.errored ?? undefined));
  }

  get lost(): AbortSignal {
    return this.#lost.signal;
  }

  #end(error: Error | undefined): void {
    if (this.#closed || this.#lost.signal.aborted) return;
    this.#lost.abort(this.#signal?.aborted === true ? this.#signal.reason : translated(error, false));
  }

  async readVersion(): Promise<void> {
    const [row] = await this.query<{ version: string }>(`select current_setting('server_version_num') as version`);
    this.versionNumber = Number(row?.version);
  }

  async query<T>(text: string, params: readonly unknown[] = []): Promise<T[]> {
    const result = this.#last.then(() => this.#run<T>(text, params));
    this.#last = result.catch(() => undefined);
    return result;
  }

  async #run<T>(text: string, params: readonly unknown[]): Promise<T[]> {
    this.#signal?.throwIfAborted();
    try {
      // A statement with parameters is one statement; without them several in one text would be accepted too.
      const { rows } = await this.#client.query<T & object>({ text, values: [...params] });
      return rows;
    } catch (error) {
      this.#signal?.throwIfAborted();
      throw translated(error, false);
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    this.#signal?.removeEventListener('abort', this.#onAbort);
    const timer = setTimeout(() => this.#socket.destroy(), CLOSE_TIMEOUT_MS);
    try {
      await this.#client.end();
    } finally {
      clearTimeout(timer);
      this.#socket.destroy();
    }
  }
}

/** What `pg` raised, as ours. Raw socket faults stay as they are while connecting: the search for a host goes on. */
function translated(error: unknown, starting: boolean): unknown {
  if (isKeyframeError(error)) return error;
  if (isDatabaseError(error)) {
    const { code = '', message, detail, hint, severity } = error;
    return serverError({ code, message, detail, hint, severity: severity ?? 'ERROR' }, { starting });
  }
  if (starting) return error;
  return connectionLost(error instanceof Error ? error : undefined);
}

/** By shape, since the class is only loaded with `pg`: an SQLSTATE has five characters, codes of sockets have not. */
function isDatabaseError(error: unknown): error is DatabaseError {
  return error instanceof Error && 'severity' in error && 'code' in error && String(error.code).length === 5;
}
