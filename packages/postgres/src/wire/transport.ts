import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { type Endpoint, openSocket, type SocketOptions } from './socket.ts';

/** Takes what arrives. A promise stops reading until it settles; the view stays valid until then and no longer. */
export type Reader = (view: Uint8Array) => void | Promise<void>;

export interface TransportEvents {
  readonly read: Reader;
  /** The reader failed, or the connection ended: with a cause when it broke. Called once. */
  readonly end: (fault: { readonly reader: unknown } | { readonly socket: Error | undefined }) => void;
}

export type TransportOptions = Omit<SocketOptions, 'onread'>;

/** Measured: 64 KiB costs a fifth more CPU per byte, 1 MiB saves nothing more and leaves the CPU's cache. */
const READ_BYTES = 256 * 1024;

/**
 * Bytes to and from a server. Plain sockets and direct TLS read into one owned buffer, which is safe because nothing
 * is read while the reader has not settled; a socket that was upgraded to TLS hands out a fresh buffer per record.
 */
export class Transport {
  readonly #endpoint: Endpoint;
  readonly #options: TransportOptions;
  readonly #socket: Socket;
  #events: TransportEvents | undefined;

  private constructor(endpoint: Endpoint, options: TransportOptions, socket: Socket) {
    this.#endpoint = endpoint;
    this.#options = options;
    this.#socket = socket;
  }

  /** Connects. Nothing is read before {@link listen}, and a server says nothing before it is asked. */
  static async open(endpoint: Endpoint, options: TransportOptions): Promise<Transport> {
    const target: { transport?: Transport } = {};
    const socket = await openSocket(endpoint, {
      ...options,
      onread: {
        buffer: Buffer.allocUnsafeSlow(READ_BYTES),
        callback: (bytes, buffer) => target.transport?.take(buffer.subarray(0, bytes)) ?? true,
      },
    });
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
    socket.once('close', () => this.#end({ socket: socket.errored ?? undefined }));
    if (socket.destroyed) this.#end({ socket: socket.errored ?? undefined });
  }

  /** Hands bytes to the reader; false when reading must stop. */
  private take(view: Uint8Array): boolean {
    try {
      const waiting = this.#events?.read(view);
      if (waiting === undefined) return true;
      waiting.then(
        () => this.#socket.resume(),
        (reader: unknown) => this.#end({ reader }),
      );
    } catch (reader) {
      this.#end({ reader });
    }
    return false;
  }

  #end(fault: Parameters<TransportEvents['end']>[0]): void {
    const events = this.#events;
    this.#events = undefined;
    events?.end(fault);
  }

  /** Sends. False when the kernel's buffer is full: wait for {@link drained} before sending much more. */
  write(bytes: Uint8Array): boolean {
    return this.#socket.write(bytes);
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
