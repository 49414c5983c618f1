import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { ReadBuffer } from './read-buffer.ts';
import { type Endpoint, openSocket, type SocketOptions } from './socket.ts';

/** Takes what arrives. A promise stops reading until it settles; the view stays valid until then and no longer. */
type Reader = (view: Uint8Array) => void | Promise<void>;

/** Who takes what arrives. */
export interface TransportEvents {
  readonly read: Reader;
  /** The reader failed, or the connection ended: with a cause when it broke. Called once. */
  readonly end: (fault: { readonly reader: unknown } | { readonly socket: Error | undefined }) => void;
}

/** How to open a transport. */
export type TransportOptions = Omit<SocketOptions, 'onread'>;

/**
 * Bytes to and from a server. Plain sockets and direct TLS read into memory of ours without a copy; a socket that was
 * upgraded to TLS hands out a fresh buffer per record.
 */
export class Transport {
  readonly #endpoint: Endpoint;
  readonly #options: TransportOptions;
  readonly #socket: Socket;
  #events: TransportEvents | undefined;
  /** The reader has not settled. What still arrives waits here. */
  #waiting = false;
  readonly #queue: Uint8Array[] = [];
  #closed = false;

  private constructor(endpoint: Endpoint, options: TransportOptions, socket: Socket) {
    this.#endpoint = endpoint;
    this.#options = options;
    this.#socket = socket;
  }

  /** Connects. Nothing is read before {@link listen}, and a server says nothing before it is asked. */
  static async open(endpoint: Endpoint, options: TransportOptions): Promise<Transport> {
    const target: { transport?: Transport } = {};
    const memory = new ReadBuffer();
    const callback = (bytes: number, buffer: Uint8Array): boolean => {
      const goOn = target.transport?.take(buffer.subarray(0, bytes)) ?? true;
      if (goOn) memory.free();
      else memory.hold(bytes);
      return goOn;
    };
    const socket = await openSocket(endpoint, { ...options, onread: { buffer: memory.next, callback } });
    const transport = new Transport(endpoint, options, socket);
    target.transport = transport;
    return transport;
  }

  /** A second connection to the same server, encrypted in the same way. */
  another(signal: AbortSignal): Promise<Transport> {
    return Transport.open(this.#endpoint, { ...this.#options, signal });
  }

  get encrypted(): boolean {
    return this.#socket instanceof TLSSocket;
  }

  /** The server's certificate in DER, where there is one. */
  get certificate(): Buffer | undefined {
    return this.#socket instanceof TLSSocket ? this.#socket.getPeerX509Certificate()?.raw : undefined;
  }

  listen(events: TransportEvents): void {
    this.#events = events;
    const socket = this.#socket;
    socket.on('data', (chunk: Buffer) => {
      if (!this.take(chunk)) socket.pause();
    });
    const onClose = (): void => {
      // What the server said last, its reason perhaps, may still be queued.
      if (this.#queue.length > 0 && socket.errored === null) this.#closed = true;
      else this.#end({ socket: socket.errored ?? undefined });
    };
    socket.once('close', onClose);
    if (socket.destroyed) onClose();
  }

  /** Hands bytes to the reader; false when reading must stop. */
  private take(view: Uint8Array): boolean {
    // A TLS socket that was told to stop still hands out what it had decrypted: 64 KiB at most.
    if (this.#waiting) {
      this.#queue.push(view);
      return false;
    }
    try {
      const settled = this.#events?.read(view);
      if (settled === undefined) return true;
      this.#waiting = true;
      settled.then(
        () => this.#goOn(),
        (reader: unknown) => this.#end({ reader }),
      );
    } catch (reader) {
      this.#end({ reader });
    }
    return false;
  }

  #goOn(): void {
    this.#waiting = false;
    for (let view = this.#queue.shift(); view !== undefined; view = this.#queue.shift()) if (!this.take(view)) return;
    if (this.#closed) this.#end({ socket: undefined });
    else this.#socket.resume();
  }

  #end(fault: Parameters<TransportEvents['end']>[0]): void {
    const events = this.#events;
    this.#events = undefined;
    events?.end(fault);
  }

  /** Sends. False when much is waiting to be sent. */
  write(bytes: Uint8Array): boolean {
    return this.#socket.write(bytes);
  }

  /** Resolves when little is waiting to be sent, or the connection is gone. */
  async drained(): Promise<void> {
    const socket = this.#socket;
    if (!socket.writableNeedDrain || socket.destroyed) return;
    await new Promise<void>((resolve) => {
      const done = (): void => {
        socket.off('drain', done).off('close', done);
        resolve();
      };
      socket.on('drain', done).on('close', done);
    });
  }

  /** Sends the last bytes and closes in order; whatever still arrives is dropped. */
  async finish(bytes: Uint8Array, timeoutMs: number): Promise<void> {
    const socket = this.#socket;
    this.#events = undefined;
    if (socket.destroyed) return;
    await new Promise<void>((resolve) => {
      const timer = setTimeout(() => socket.destroy(), timeoutMs);
      socket.once('close', () => {
        clearTimeout(timer);
        resolve();
      });
      socket.end(bytes);
      socket.resume();
    });
  }

  /** Cuts the connection at once. */
  destroy(): void {
    this.#socket.destroy();
  }
}
