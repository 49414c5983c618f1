/** What can go wrong between a client and its server, as data for the fault proxy. @packageDocumentation */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ByteStream } from '@keyframe/contracts';
import { type Dialect, expiredAnswer, throttledAnswer } from './envelopes.ts';

/** A step in a body on its way. `gone` aborts when the client has left or the proxy stops. */
export type BodyStep = (body: ByteStream, gone: AbortSignal) => ByteStream;

/** One thing that goes wrong with an exchange. What it leaves out goes well. */
export interface ProxyFault {
  /** Runs before anything is passed on. True: it has answered or cut the connection itself, and the server hears nothing. */
  readonly meet?: (request: IncomingMessage, response: ServerResponse, gone: AbortSignal) => Promise<boolean>;
  /** Changes the request's headers: name, value, name, value, … */
  readonly headers?: (raw: readonly string[]) => readonly string[];
  /** Changes the request's body on its way to the server. A step that throws cuts both connections. */
  readonly upload?: BodyStep;
  /** Changes the answer's body on its way to the client. A step that throws cuts both connections. */
  readonly download?: BodyStep;
  /** The server does its work and answers; the client's connection is cut instead. */
  readonly loseAnswer?: boolean;
}

/** An answer that the server never gave. */
export interface OwnAnswer {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
}

/** Waits before the request is passed on, as a far server would. `jitterMs` more at most. */
export function latency(milliseconds: number, jitterMs = 0): ProxyFault {
  return {
    async meet(_request, _response, gone) {
      await sleep(milliseconds + Math.random() * jitterMs, undefined, { signal: gone });
      return false;
    },
  };
}

/** The connection is reset before the server hears of the request. */
export function reset(): ProxyFault {
  return {
    meet: async (request) => {
      request.socket.resetAndDestroy();
      return true;
    },
  };
}

/** The proxy answers in the server's place. */
export function answered({ status, headers = {}, body = '' }: OwnAnswer): ProxyFault {
  return {
    async meet(request, response) {
      request.resume(); // a client that still sends would not read the answer
      response.writeHead(status, { 'content-length': Buffer.byteLength(body), ...headers });
      response.end(request.method === 'HEAD' ? undefined : body);
      return true;
    },
  };
}

/** The server asks to slow down, in the words of its provider. */
export function throttled(dialect: Dialect, retryAfterSeconds?: number): ProxyFault {
  return answered(throttledAnswer(dialect, retryAfterSeconds));
}

/** The credentials have run out, in the words of the provider. */
export function expiredCredentials(dialect: Dialect): ProxyFault {
  return answered(expiredAnswer(dialect));
}

/** Takes headers out of the request: a server that has never heard of them (`if-none-match`). They must not be signed. */
export function withoutHeaders(...names: readonly string[]): ProxyFault {
  const unwanted = new Set(names.map((name) => name.toLowerCase()));
  return {
    headers: (raw) => raw.filter((_, index) => !unwanted.has((raw[index - (index % 2)] ?? '').toLowerCase())),
  };
}

/** Nothing more comes, and nothing is closed: the request is never passed on. */
export function stalled(): ProxyFault {
  return {
    meet: async (request, _response, gone) => {
      request.resume();
      await untilGone(gone);
      return true;
    },
  };
}

/** Waits until the client has left, and rejects then. */
export async function untilGone(gone: AbortSignal): Promise<void> {
  gone.throwIfAborted();
  await new Promise((resolve) => gone.addEventListener('abort', resolve, { once: true }));
  gone.throwIfAborted();
}
