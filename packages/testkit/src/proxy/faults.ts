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

/** Bodies pass at this speed, each for itself, in both directions. */
export function bandwidth(bytesPerSecond: number): ProxyFault {
  const slowly: BodyStep = async function* (body, gone) {
    for await (const chunk of body) {
      await sleep((chunk.length / bytesPerSecond) * 1_000, undefined, { signal: gone });
      yield chunk;
    }
  };
  return { upload: slowly, download: slowly };
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

/** The connections break once `bytes` bytes of the request's body have passed. A shorter body passes whole. */
export function cutUpload(bytes: number): ProxyFault {
  return { upload: (body) => cutAfter(body, bytes) };
}

/** The answer breaks off once `bytes` bytes of its body have passed. A shorter body passes whole. */
export function cutBody(bytes: number): ProxyFault {
  return { download: (body) => cutAfter(body, bytes) };
}

async function* cutAfter(body: ByteStream, bytes: number): ByteStream {
  let left = bytes;
  for await (const chunk of body) {
    if (chunk.length > left) {
      if (left > 0) yield chunk.subarray(0, left);
      throw new Error(`cut after ${bytes} bytes`);
    }
    left -= chunk.length;
    yield chunk;
  }
}

/** The request is carried out; the client never hears of it. */
export function lostAcknowledgement(): ProxyFault {
  return { loseAnswer: true };
}

/** All bits of one byte of the answer's body arrive turned round. A shorter body is left alone. */
export function flippedByte(offsetBytes: number): ProxyFault {
  return { download: (body) => flipped(body, offsetBytes) };
}

/** All bits of one byte of the request's body arrive turned round. A shorter body is left alone. */
export function flippedUploadByte(offsetBytes: number): ProxyFault {
  return { upload: (body) => flipped(body, offsetBytes) };
}

async function* flipped(body: ByteStream, offsetBytes: number): ByteStream {
  let at = 0;
  for await (const chunk of body) {
    const here = offsetBytes - at;
    at += chunk.length;
    if (here < 0 || here >= chunk.length) {
      yield chunk;
      continue;
    }
    const damaged = Uint8Array.from(chunk);
    damaged[here] = (damaged[here] ?? 0) ^ 0xff;
    yield damaged;
  }
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

/** The answer's body stops after `bytes` bytes, and nothing is closed. */
export function stalledBody(bytes: number): ProxyFault {
  return {
    async *download(body, gone) {
      let left = bytes;
      for await (const chunk of body) {
        if (left > 0) yield chunk.subarray(0, left);
        left -= chunk.length;
        if (left < 0) await untilGone(gone);
      }
    },
  };
}

async function untilGone(gone: AbortSignal): Promise<void> {
  gone.throwIfAborted();
  await new Promise((resolve) => gone.addEventListener('abort', resolve, { once: true }));
  gone.throwIfAborted();
}
