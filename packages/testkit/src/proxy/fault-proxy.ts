/**
 * A proxy that harms HTTP exchanges on purpose. It passes every header on as it came, `Host` above all, so that signed
 * requests stay valid, and streams bodies. @packageDocumentation
 */
import { once } from 'node:events';
import {
  Agent,
  createServer,
  type IncomingMessage,
  request as requestOf,
  type Server,
  type ServerResponse,
} from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ByteStream } from '@keyframe/contracts';
import type { BodyStep, ProxyFault } from './faults.ts';

/** Which exchanges a fault strikes. */
export interface ProxyAim {
  /** E.g. `PUT`. Default: all. */
  readonly method?: string | RegExp;
  /** Matches the path with its query as it stands in the request line. Default: all. */
  readonly path?: RegExp;
  /** The first matching exchange that is struck, from 1. Default 1. */
  readonly nth?: number;
  /** How many matching exchanges from there on are struck. Default: all. */
  readonly times?: number;
  /** Strikes so many of them, from 0 to 1, drawn by `random`. Default 1. */
  readonly probability?: number;
  /** From 0 to 1, for a run that can be repeated. Default `Math.random`. */
  readonly random?: () => number;
}

/** A fault in force. */
export interface ActiveFault {
  /** How many exchanges it has struck. */
  readonly strikes: number;
  remove(): void;
}

/** A proxy in front of one HTTP server. */
export interface FaultProxy extends AsyncDisposable {
  /** What clients use in the place of the server: `http://127.0.0.1:<port>`. */
  readonly url: string;
  readonly port: number;
  /** Exchanges begun so far, those that were struck included. */
  readonly exchanges: number;
  /** Puts a fault in force. Of several that strike the same exchange each does its part, the earlier first. */
  add(fault: ProxyFault, aim?: ProxyAim): ActiveFault;
  /** Takes all faults out of force. */
  clear(): void;
  /** Nobody listens any more, and every connection breaks. */
  down(): Promise<void>;
  /** Listens again, at the same port. */
  up(): Promise<void>;
  /** {@link down}, and {@link up} after so long. */
  outage(milliseconds: number): Promise<void>;
  stop(): Promise<void>;
}

type Rule = ActiveFault & {
  strikes: number;
  readonly fault: ProxyFault;
  readonly matches: (r: IncomingMessage) => boolean;
};

/** Starts a proxy on loopback in front of `upstream`, e.g. `http://127.0.0.1:7070`. */
export async function startFaultProxy(upstream: string): Promise<FaultProxy> {
  const target = new URL(upstream);
  const rules = new Set<Rule>();
  const sockets = new Set<Socket>();
  let exchanges = 0;
  let url = '';
  const serve = (request: IncomingMessage, response: ServerResponse): void => {
    exchanges += 1;
    const struck = [...rules].filter((rule) => rule.matches(request));
    for (const rule of struck) rule.strikes += 1;
    const faults = struck.map(({ fault }) => fault);
    // A fault that cuts a connection is no fault of the proxy.
    exchange({ request, response, faults, target, url }).catch(() => request.socket.resetAndDestroy());
  };
  const server = createServer({ keepAliveTimeout: 0 }, serve);
  server.on('checkContinue', serve);
  server.on('connection', (socket) => {
    sockets.add(socket);
    socket.on('close', () => sockets.delete(socket)).on('error', () => undefined);
  });
  const port = await listen(server, 0);
  url = `http://127.0.0.1:${port}`;
  const down = async (): Promise<void> => {
    if (!server.listening) return;
    const closed = once(server, 'close');
    server.close();
    for (const socket of sockets) socket.resetAndDestroy();
    await closed;
  };
  const up = async (): Promise<void> => {
    if (!server.listening) await listen(server, port);
  };
  return {
    url,
    port,
    get exchanges() {
      return exchanges;
    },
    add(fault, aim = {}) {
      const rule: Rule = { fault, matches: matcher(aim), strikes: 0, remove: () => void rules.delete(rule) };
      rules.add(rule);
      return rule;
    },
    clear: () => rules.clear(),
    down,
    up,
    async outage(milliseconds) {
      await down();
      await sleep(milliseconds);
      await up();
    },
    stop: down,
    [Symbol.asyncDispose]: down,
  };
}

async function listen(server: Server, port: number): Promise<number> {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

function matcher(aim: ProxyAim): (request: IncomingMessage) => boolean {
  const { method, path, nth = 1, times = Infinity, probability = 1, random = Math.random } = aim;
  let matched = 0;
  return (request) => {
    const fits = typeof method === 'string' ? request.method === method : (method?.test(request.method ?? '') ?? true);
    if (!fits || path?.test(request.url ?? '') === false) return false;
    if (probability < 1 && random() >= probability) return false;
    matched += 1;
    return matched >= nth && matched < nth + times;
  };
}

interface Exchange {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly faults: readonly ProxyFault[];
  readonly target: URL;
  /** The proxy's own address, which replaces the server's where the server tells it. */
  readonly url: string;
}

/** No kept connections to the server: one that it closes would be a fault that nobody asked for. */
const agent = new Agent({ keepAlive: false });

async function exchange({ request, response, faults, target, url }: Exchange): Promise<void> {
  const left = new AbortController();
  const gone = left.signal;
  response.on('close', () => left.abort());
  for (const { meet } of faults) if (await meet?.(request, response, gone)) return;
  const raw = faults.reduce<readonly string[]>(
    (headers, fault) => fault.headers?.(headers) ?? headers,
    request.rawHeaders,
  );
  const outgoing = requestOf({
    agent,
    host: target.hostname,
    port: target.port,
    method: request.method,
    path: request.url,
    headers: [...without(raw, 'connection'), 'Connection', 'close'],
    setHost: false,
  });
  outgoing.on('continue', () => response.writeContinue()).on('error', () => undefined);
  gone.addEventListener('abort', () => outgoing.destroy());
  const answering = once(outgoing, 'response') as Promise<[IncomingMessage]>;
  // A server may answer before it has read everything, and close: its answer counts, and the client is not to be cut off.
  const body = request.iterator({ destroyOnReturn: false }) as ByteStream;
  pipeline(stepped(body, faults, 'upload', gone), outgoing).catch(() => outgoing.destroy());
  const [answer] = await answering;
  if (faults.some(({ loseAnswer }) => loseAnswer === true)) {
    await pipeline(answer, new Writable({ write: (_chunk, _encoding, done) => done() }));
    throw new Error('the answer was lost');
  }
  response.sendDate = false;
  const headers = without(answer.rawHeaders, 'connection').map((text) => text.replace(target.origin, url));
  response.writeHead(answer.statusCode ?? 502, answer.statusMessage, headers);
  await pipeline(stepped(answer, faults, 'download', gone), response);
}

function stepped(
  body: ByteStream,
  faults: readonly ProxyFault[],
  direction: 'upload' | 'download',
  gone: AbortSignal,
): ByteStream {
  const steps = faults.flatMap((fault): BodyStep[] => (fault[direction] === undefined ? [] : [fault[direction]]));
  return steps.reduce<ByteStream>((stream, step) => step(stream, gone), body);
}

const without = (raw: readonly string[], name: string): string[] =>
  raw.filter((_, index) => raw[index - (index % 2)]?.toLowerCase() !== name);
