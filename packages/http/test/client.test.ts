import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, request as requestOf, type RequestListener, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createTcpServer } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { drain } from '@keyframe/contracts/streams';
import { afterEach, describe, expect, it } from 'vitest';
import { createHttpClient, type HttpClient, type HttpOptions } from '../src/client.ts';
import { CERTIFICATE, PRIVATE_KEY } from './certificate.ts';

const stack: { current: AsyncDisposableStack } = { current: new AsyncDisposableStack() };
afterEach(async () => {
  await stack.current.disposeAsync();
  stack.current = new AsyncDisposableStack();
});

async function listen(server: Server, scheme = 'http'): Promise<URL> {
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  stack.current.defer(() => {
    server.closeAllConnections();
    server.close();
  });
  return new URL(`${scheme}://127.0.0.1:${(server.address() as AddressInfo).port}/`);
}

const serve = (listener: RequestListener): Promise<URL> => listen(createServer(listener));

function client(changed: Partial<HttpOptions> = {}): HttpClient {
  const made = createHttpClient({ connectTimeoutMs: 500, stallTimeoutMs: 300, connections: 4, ...changed });
  stack.current.defer(() => made.close());
  return made;
}

const read = async (incoming: IncomingMessage): Promise<Buffer> => drain(incoming as AsyncIterable<Uint8Array>);

describe('an exchange', () => {
  it('gives status, headers and body, and keeps its connection', async () => {
    const ports = new Set<number | undefined>();
    const url = await serve((incoming, outgoing) => {
      ports.add(incoming.socket.remotePort);
      void read(incoming).then((body) => outgoing.writeHead(201, { etag: 'x' }).end(body));
    });
    const http = client();
    const bytes = randomBytes(1_000_000);
    for (let round = 0; round < 3; round += 1) {
      const headers = { 'content-length': String(bytes.length) };
      const answer = await http.send({ method: 'PUT', url, headers, body: [bytes.subarray(0, 7), bytes.subarray(7)] });
      expect([answer.status, answer.headers.etag]).toEqual([201, 'x']);
      expect((await drain(answer.body)).equals(bytes)).toBe(true);
    }
    expect(ports.size).toBe(1);
  });

  it('ends early when the server answers before it has read everything', async () => {
    const url = await serve((_incoming, outgoing) => outgoing.writeHead(412).end('no'));
    const body = [Buffer.alloc(64 * 1024 * 1024)];
    const headers = { 'content-length': String(64 * 1024 * 1024) };
    const answer = await client().send({ method: 'PUT', url, headers, body });
    expect([answer.status, (await drain(answer.body)).toString()]).toEqual([412, 'no']);
  });

  it('is no fault while the reader is slow', async () => {
    const url = await serve((_incoming, outgoing) => outgoing.end(Buffer.alloc(3_000_000)));
    const answer = await client({ stallTimeoutMs: 50 }).send({ method: 'GET', url, headers: {} });
    let seen = 0;
    for await (const chunk of answer.body) {
      if (seen === 0) await sleep(200);
      seen += chunk.length;
    }
    expect(seen).toBe(3_000_000);
  });

  it('that stands still is UNAVAILABLE, and tells how far it had come', async () => {
    const url = await serve((incoming, outgoing) => {
      if (incoming.url === '/body') outgoing.write('half');
    });
    await expect(client().send({ method: 'GET', url, headers: {} })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      details: { phase: 'request' },
    });
    const answer = await client().send({ method: 'GET', url: new URL('/body', url), headers: {} });
    await expect(drain(answer.body)).rejects.toMatchObject({ code: 'UNAVAILABLE', details: { phase: 'body' } });
  });

  it('ends with the reason of an abort, before, during and after the answer', async () => {
    const url = await serve((incoming, outgoing) => {
      if (incoming.url === '/body') outgoing.write('half');
    });
    const reason = new Error('enough');
    expect(() => client().send({ method: 'GET', url, headers: {}, signal: AbortSignal.abort(reason) })).toThrow(reason);
    for (const path of ['/', '/body']) {
      const abort = new AbortController();
      setTimeout(() => abort.abort(reason), 30);
      const work = client({ stallTimeoutMs: 5_000 })
        .send({ method: 'GET', url: new URL(path, url), headers: {}, signal: abort.signal })
        .then(({ body }) => drain(body));
      await expect(work).rejects.toBe(reason);
    }
  });

  it('with nobody is UNAVAILABLE in the phase connect, with a hint', async () => {
    const nobody = new URL('http://127.0.0.1:1/');
    await expect(client().send({ method: 'GET', url: nobody, headers: {} })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      hint: expect.stringContaining('`endpoint`') as string,
      details: { phase: 'connect' },
    });
  });
});

describe('over TLS', () => {
  const secure = (): Promise<URL> =>
    listen(
      createTlsServer({ cert: CERTIFICATE, key: PRIVATE_KEY }, (incoming, outgoing) => {
        void read(incoming).then((body) => outgoing.end(body));
      }),
      'https',
    );

  it('an authority of one’s own is trusted when it is named, and only then', async () => {
    const url = await secure();
    const request = { method: 'PUT', url, headers: { 'content-length': '3' }, body: [Buffer.from('abc')] } as const;
    await expect(client().send(request)).rejects.toMatchObject({
      code: 'UNAVAILABLE',
      hint: expect.stringContaining('`certificateAuthority`') as string,
      details: { phase: 'connect' },
    });
    const http = client({ certificateAuthority: CERTIFICATE });
    for (let round = 0; round < 2; round += 1)
      expect((await drain((await http.send(request)).body)).toString()).toBe('abc');
  });

  it('a handshake that never ends is UNAVAILABLE in time', async () => {
    const silent = createTcpServer();
    silent.listen(0, '127.0.0.1');
    await once(silent, 'listening');
    stack.current.defer(() => void silent.close());
    const url = new URL(`https://127.0.0.1:${(silent.address() as AddressInfo).port}/`);
    const sockets: { destroy(): void }[] = [];
    silent.on('connection', (socket) => sockets.push(socket));
    await expect(client().send({ method: 'GET', url, headers: {} })).rejects.toMatchObject({
      details: { phase: 'connect' },
    });
    for (const socket of sockets) socket.destroy();
  });
});

describe('behind a proxy', () => {
  it('every request goes through it', async () => {
    const url = await serve((_incoming, outgoing) => outgoing.end('direct'));
    const passed: string[] = [];
    const proxy = await serve((incoming, outgoing) => {
      passed.push(incoming.url ?? '');
      requestOf(new URL(incoming.url ?? ''), (answer) => answer.pipe(outgoing)).end();
    });
    const http = client({ proxy: proxy.origin });
    const answer = await http.send({ method: 'GET', url: new URL('/object', url), headers: {} });
    expect((await drain(answer.body)).toString()).toBe('direct');
    expect(passed).toEqual([`${url.origin}/object`]);
  });
});
