import { KeyframeError } from '@keyframe/contracts';
import { readCancelKey, readNotice, readParameterStatus, type ServerNotice } from './backend.ts';
import { connectionLost, malformed, reasonOf, serverError } from './errors.ts';
import { cancelRequest, message } from './frontend.ts';
import { MessageFramer, type MessageSink } from './framer.ts';
import { TYPE } from './message-type.ts';
import type { Transport } from './transport.ts';

const CLOSE_TIMEOUT_MS = 1000;

interface Exchange {
  readonly sink: MessageSink;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Of one connection. */
export interface SessionOptions {
  readonly user: string;
  /** Takes warnings and notices. Default: they are dropped. */
  readonly onNotice?: ((notice: ServerNotice) => void) | undefined;
}

/**
 * One connection to a server: whoever holds it runs one exchange at a time. Errors and the end of an exchange are
 * handled here, everything else goes to the exchange's sink. COPY in either direction needs no more: a sink may
 * {@link send} whenever it likes.
 */
export class Session {
  /** What the server reported about itself, kept up to date. */
  readonly parameters: Map<string, string> = new Map();
  readonly transport: Transport;
  readonly #user: string;
  readonly #onNotice: (notice: ServerNotice) => void;
  #cancelKey: { readonly processId: number; readonly secret: number } | undefined;
  #exchange: Exchange | undefined;
  #started = false;
  /** An ErrorResponse of this exchange; it is over when ReadyForQuery follows. */
  #reported: KeyframeError | undefined;
  #fault: { readonly error: unknown } | undefined;

  constructor(transport: Transport, { user, onNotice = () => undefined }: SessionOptions) {
    this.transport = transport;
    this.#user = user;
    this.#onNotice = onNotice;
    const framer = new MessageFramer({
      message: (type, body) => this.#message(type, body),
      // After a fault the rest of what was read is dropped: whoever ran the exchange has its answer.
      copyData: (view, first, left) => (this.usable ? this.#exchange?.sink.copyData(view, first, left) : undefined),
    });
    transport.listen({
      read: (view) => framer.push(view),
      end: (fault) => this.fail('reader' in fault ? fault.reader : (this.#reported ?? connectionLost(fault.socket))),
    });
  }

  /** False once the connection broke, was aborted or closed. */
  get usable(): boolean {
    return this.#fault === undefined;
  }

  /**
   * Sends `request` and resolves when the server is ready for the next one. The sink may throw or reject: like an
   * abort, that ends the connection, for there is no way to leave a COPY half read.
   * @throws {KeyframeError} SERVER_ERROR, SERVER_REFUSED, SERVER_UNREACHABLE, INTERNAL when another exchange runs.
   */
  async exchange(request: Uint8Array, sink: MessageSink, signal?: AbortSignal): Promise<void> {
    signal?.throwIfAborted();
    if (this.#fault !== undefined) throw this.#fault.error;
    if (this.#exchange !== undefined)
      throw new KeyframeError('INTERNAL', 'the replication connection is busy', {
        hint: 'Open a second connection by connectReplication, or await the first command.',
      });
    const onAbort = (): void => this.fail(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    try {
      await new Promise<void>((resolve, reject) => {
        this.#exchange = { sink, resolve, reject };
        this.transport.write(request);
      });
    } finally {
      this.#exchange = undefined;
      signal?.removeEventListener('abort', onAbort);
    }
  }

  /** Sends bytes within an exchange. False when much is waiting to be sent. */
  send(bytes: Uint8Array): boolean {
    return this.transport.write(bytes);
  }

  /** Ends the connection and rejects what runs. */
  fail(error: unknown): void {
    this.#fault ??= { error };
    this.transport.destroy();
    this.#exchange?.reject(error);
  }

  /**
   * Asks the server to stop what this connection ran, by a second connection. For the time in which it only works and
   * sends nothing, so that it would not notice for minutes that nobody listens. Never throws: it is a courtesy.
   */
  async cancel(): Promise<void> {
    const key = this.#cancelKey;
    if (key === undefined) return;
    try {
      const messenger = await this.transport.another(AbortSignal.timeout(CLOSE_TIMEOUT_MS));
      await messenger.finish(cancelRequest(key), CLOSE_TIMEOUT_MS);
    } catch (error) {
      this.#onNotice({
        severity: 'WARNING',
        code: '01000',
        message: `the server was not told to stop: ${reasonOf(error)}`,
        detail: undefined,
        hint: undefined,
      });
    }
  }

  /** Says goodbye and closes. Resolves once closed. */
  async close(): Promise<void> {
    const open = this.usable;
    this.#fault ??= {
      error: new KeyframeError('INTERNAL', 'the replication connection is closed', {
        hint: 'Open another one by connectReplication.',
      }),
    };
    this.#exchange?.reject(this.#fault.error);
    if (open) await this.transport.finish(message('X'), CLOSE_TIMEOUT_MS);
  }

  #message(type: number, body: Uint8Array): void | Promise<void> {
    if (!this.usable) return undefined;
    switch (type) {
      case TYPE.noticeResponse:
        return this.#onNotice(readNotice(body));
      case TYPE.parameterStatus:
        this.parameters.set(...readParameterStatus(body));
        return undefined;
      case TYPE.notificationResponse:
        return undefined;
      case TYPE.backendKeyData:
        this.#cancelKey = readCancelKey(body);
        return undefined;
      case TYPE.errorResponse:
        return this.#error(readNotice(body));
      case TYPE.readyForQuery:
        return this.#ready();
      default:
        if (this.#exchange === undefined) throw malformed('a message that nothing asked for');
        return this.#exchange.sink.message(type, body);
    }
  }

  #error(notice: ServerNotice): void {
    this.#reported = serverError(notice, { starting: !this.#started, user: this.#user });
    // The server closes after a FATAL error: there is no ReadyForQuery to wait for.
    if (notice.severity !== 'ERROR') this.fail(this.#reported);
  }

  #ready(): void {
    this.#started = true;
    const [exchange, reported] = [this.#exchange, this.#reported];
    this.#exchange = undefined;
    this.#reported = undefined;
    if (reported === undefined) exchange?.resolve();
    else exchange?.reject(reported);
  }
}
