/** One HTTP request, once: no retry, no redirect, and no wait without an end. @packageDocumentation */
import {
  type ClientRequest,
  Agent as HttpAgent,
  type IncomingHttpHeaders,
  type IncomingMessage,
  request,
  type RequestOptions,
} from 'node:http';
import { Agent as HttpsAgent, request as requestTls } from 'node:https';
import { rootCertificates } from 'node:tls';
import type { Abortable, ByteStream } from '@keyframe/contracts';
import { lost, type Phase } from './faults.ts';
import { ProgressTimer } from './progress-timer.ts';

/** How connections are made and how long they may stand still. */
export interface HttpOptions {
  /** Longest wait for a connection, TLS included, milliseconds. */
  readonly connectTimeoutMs: number;
  /** Longest time without a byte in either direction while one is due, milliseconds. */
  readonly stallTimeoutMs: number;
  /** Connections at once; more requests wait for one of them. */
  readonly connections: number;
  /** Address of an HTTP proxy, e.g. `http://proxy:3128`. */
  readonly proxy?: string | undefined;
  /** Certificates in PEM that are trusted besides those of Node. */
  readonly certificateAuthority?: string | undefined;
}

/** One request. */
export interface HttpRequest extends Abortable {
  readonly method: 'GET' | 'HEAD' | 'PUT' | 'POST' | 'PATCH' | 'DELETE';
  readonly url: URL;
  readonly headers: Readonly<Record<string, string>>;
  /** Held in memory, and not changed before the answer is there. */
  readonly body?: readonly Uint8Array[] | undefined;
}

/** What the server said. Its body must be read, discarded or left: until then it holds a connection. */
export interface HttpResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Ends in `UNAVAILABLE` when the connection breaks or stands still. Leaving it early closes the connection. */
  readonly body: ByteStream;
}

/** Sends requests over kept connections. */
export interface HttpClient {
  /** @throws {KeyframeError} UNAVAILABLE without an answer; its detail `phase` is `connect` when nothing was sent */
  send(request: HttpRequest): Promise<HttpResponse>;
  close(): void;
}

/** Bytes per write: small enough that a slow line shows progress, large enough to cost nothing. */
const SLICE = 256 * 1024;
/** Unused connections are closed before the server would close them under a request. */
const IDLE_MS = 20_000;

/** A client with connections of its own. */
export function createHttpClient(options: HttpOptions): HttpClient {
  const { connections, proxy, certificateAuthority } = options;
  const shared = {
    keepAlive: true,
    maxSockets: connections,
    timeout: IDLE_MS,
    ...(proxy === undefined ? {} : { proxyEnv: { HTTP_PROXY: proxy, HTTPS_PROXY: proxy } }),
  };
  const plain = new HttpAgent(shared);
  const trust = certificateAuthority === undefined ? {} : { ca: [certificateAuthority, ...rootCertificates] };
  let tls: HttpsAgent | undefined;
  return {
    send: (wanted) => {
      wanted.signal?.throwIfAborted();
      if (wanted.url.protocol === 'http:') return exchange(request(target(wanted, plain)), wanted, options);
      tls ??= new HttpsAgent({ ...shared, ...trust });
      return exchange(requestTls(target(wanted, tls)), wanted, options);
    },
    close: () => {
      plain.destroy();
      tls?.destroy();
    },
  };
}

function target({ url, method, headers }: HttpRequest, agent: HttpAgent): RequestOptions {
  return {
    agent,
    method,
    headers,
    protocol: url.protocol,
    hostname: url.hostname.replace(/^\[(.*)\]$/, '$1'),
    port: url.port,
    path: `${url.pathname}${url.search}`,
  };
}

async function exchange(sent: ClientRequest, wanted: HttpRequest, options: HttpOptions): Promise<HttpResponse> {
  const { url, signal } = wanted;
  let phase: Phase = 'connect';
  let failure: { readonly reason: unknown } | undefined;
  const fail = (reason: unknown): void => {
    failure ??= { reason };
    sent.destroy();
  };
  const onAbort = (): void => fail(signal?.reason);
  const timer = new ProgressTimer((waitedMs) => fail(lost(url, phase, undefined, waitedMs)));
  const end = (): void => {
    timer.stop();
    signal?.removeEventListener('abort', onAbort);
  };
  signal?.addEventListener('abort', onAbort);
  sent.once('socket', (socket) => {
    const connected = (): void => {
      phase = 'request';
      timer.start(options.stallTimeoutMs);
    };
    if (!socket.connecting) return connected();
    timer.start(options.connectTimeoutMs);
    socket.once(url.protocol === 'https:' ? 'secureConnect' : 'connect', connected);
  });
  try {
    const response = await answerOf(sent, wanted, () => timer.progress());
    timer.pause();
    phase = 'body';
    const fault = (error: unknown): unknown => (failure === undefined ? lost(url, phase, error) : failure.reason);
    return {
      status: response.statusCode ?? 0,
      headers: response.headers,
      body: bodyOf({ sent, response, timer, fault, end }),
    };
  } catch (error) {
    end();
    throw failure === undefined ? lost(url, phase, error) : failure.reason;
  }
}

/** Resolves with the answer, which may come before the body was sent: the rest then stays here. */
function answerOf(sent: ClientRequest, wanted: HttpRequest, progress: () => void): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const answer: { here?: true } = {};
    sent.once('response', (response) => {
      answer.here = true;
      resolve(response);
    });
    sent.on('error', reject);
    const write = async (): Promise<void> => {
      for (const piece of wanted.body ?? []) {
        for (let at = 0; at < piece.length && answer.here !== true; at += SLICE) {
          // A callback that a broken connection never calls leaves only this behind.
          await new Promise<unknown>((done) => sent.write(piece.subarray(at, at + SLICE), done));
          progress();
        }
      }
      if (answer.here !== true) sent.end();
    };
    write().catch(reject);
  });
}

interface Body {
  readonly sent: ClientRequest;
  readonly response: IncomingMessage;
  readonly timer: ProgressTimer;
  readonly fault: (error: unknown) => unknown;
  readonly end: () => void;
}

async function* bodyOf({ sent, response, timer, fault, end }: Body): ByteStream {
  try {
    timer.progress();
    for await (const chunk of response as AsyncIterable<Uint8Array>) {
      // However long our reader takes, that is no fault of the server.
      timer.pause();
      yield chunk;
      timer.progress();
    }
  } catch (error) {
    throw fault(error);
  } finally {
    end();
    if (!response.complete || !sent.writableFinished) sent.destroy();
  }
}
