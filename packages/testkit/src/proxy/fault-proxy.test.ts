import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import {
  answered,
  bandwidth,
  cutBody,
  cutUpload,
  expiredCredentials,
  type FaultProxy,
  flippedByte,
  flippedUploadByte,
  latency,
  lostAcknowledgement,
  reset,
  stalled,
  stalledBody,
  startFaultProxy,
  throttled,
  withoutHeaders,
} from '../proxy.ts';

let server: Server;
let proxy: FaultProxy;
const seen: { method: string; url: string; body: string; headers: IncomingMessage['headers'] }[] = [];

/** Keeps what it is sent, and answers with as many digits as the path says. */
async function serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const body = (await buffer(request)).toString();
  seen.push({ method: request.method ?? '', url: request.url ?? '', body, headers: request.headers });
  response.writeHead(200, { 'x-where': `${String(request.headers['x-base'] ?? '')}/next` });
  response.end('0123456789'.repeat(Number(request.url?.slice(1)) / 10));
}

beforeAll(async () => {
  server = createServer((request, response) => {
    void serve(request, response).catch(() => response.destroy());
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  proxy = await startFaultProxy(`http://127.0.0.1:${(server.address() as AddressInfo).port}`);
});
afterEach(() => {
  proxy.clear();
  seen.length = 0;
});
afterAll(async () => {
  await proxy.stop();
  server.closeAllConnections();
  server.close();
});

const get = async (path = '/20', init: RequestInit = {}): Promise<string> => {
  const answer = await fetch(`${proxy.url}${path}`, init);
  return await answer.text();
};
const put = (body: string | Uint8Array<ArrayBuffer>): Promise<string> => get('/10', { method: 'PUT', body });

describe('the fault proxy', () => {
  it('passes on what it is not told to harm, the Host above all', async () => {
    const body = 'x'.repeat(3_000_000);
    expect(
      await get('/100000', { method: 'PUT', body, headers: { 'X-Own': 'Größe'.normalize('NFC').slice(0, 2) } }),
    ).toBe('0123456789'.repeat(10_000));
    expect(seen[0]?.body).toHaveLength(3_000_000);
    expect(seen[0]?.headers).toMatchObject({ host: `127.0.0.1:${proxy.port}`, 'content-length': '3000000' });
  });

  it('tells its own address where the server tells its own', async () => {
    const { port } = server.address() as AddressInfo;
    const answer = await fetch(`${proxy.url}/0`, { headers: { 'x-base': `http://127.0.0.1:${port}` } });
    expect(answer.headers.get('x-where')).toBe(`${proxy.url}/next`);
  });

  it('strikes by method, path, place and number, and counts', async () => {
    const fault = proxy.add(answered({ status: 500, body: 'no' }), { method: 'GET', path: /^\/20/, nth: 2, times: 1 });
    const answers = [await get(), await get('/10'), await put('x'), await get(), await get()];
    expect(answers.map((text) => text === 'no')).toEqual([false, false, false, true, false]);
    expect(fault.strikes).toBe(1);
  });

  it('strikes a part of the exchanges, drawn from a source that can be repeated', async () => {
    const draws = [0.9, 0.1, 0.5];
    proxy.add(answered({ status: 500, body: 'no' }), { probability: 0.5, random: () => draws.shift() ?? 1 });
    expect([await get('/0'), await get('/0'), await get('/0')]).toEqual(['', 'no', '']);
  });

  it('resets a connection before the server hears of it', async () => {
    proxy.add(reset(), { times: 1 });
    await expect(get()).rejects.toThrow(/fetch failed|terminated/);
    expect(seen).toEqual([]);
    expect(await get()).toHaveLength(20);
  });

  it('cuts an upload', async () => {
    proxy.add(cutUpload(100_000));
    await expect(put('x'.repeat(200_000))).rejects.toThrow(/fetch failed|terminated/);
    expect(seen).toEqual([]);
  });

  it('loses an acknowledgement: the server has done its work', async () => {
    proxy.add(lostAcknowledgement());
    await expect(put('kept')).rejects.toThrow(/fetch failed|terminated/);
    expect(seen.map(({ body }) => body)).toEqual(['kept']);
  });

  it('cuts an answer', async () => {
    proxy.add(cutBody(50_000), { times: 1 });
    await expect(get('/100000')).rejects.toThrow(/fetch failed|terminated/);
    expect(await get('/100000')).toHaveLength(100_000);
  });

  it('flips one byte, either way', async () => {
    proxy.add(flippedByte(3));
    proxy.add(flippedUploadByte(1));
    const bytes = Buffer.from(await (await fetch(`${proxy.url}/10`, { method: 'PUT', body: 'abc' })).arrayBuffer());
    expect(bytes.toString('latin1')).toBe(`012${String.fromCodePoint(0x33 ^ 0xff)}456789`);
    expect(seen[0]?.body).toBe(Buffer.from([0x61, 0x62 ^ 0xff, 0x63]).toString());
  });

  it.each([
    ['s3', 503, 'SlowDown'],
    ['gcs', 429, 'rateLimitExceeded'],
    ['azure', 503, 'ServerBusy'],
    ['aws-json', 400, 'ThrottlingException'],
    ['plain', 429, 'too many'],
  ] as const)('throttles as %s does', async (dialect, status, word) => {
    proxy.add(throttled(dialect, 7));
    const answer = await fetch(`${proxy.url}/10`, { method: 'PUT', body: 'x'.repeat(1_000_000) });
    expect([answer.status, answer.headers.get('retry-after')]).toEqual([status, '7']);
    expect(await answer.text()).toContain(word);
    expect(seen).toEqual([]);
  });

  it('says that credentials have expired', async () => {
    proxy.add(expiredCredentials('s3'));
    expect(await get()).toContain('ExpiredToken');
  });

  it('takes headers out of a request', async () => {
    proxy.add(withoutHeaders('If-None-Match'));
    await get('/10', { headers: { 'If-None-Match': '*', 'X-Kept': '1' } });
    expect(seen[0]?.headers).not.toHaveProperty('if-none-match');
    expect(seen[0]?.headers).toMatchObject({ 'x-kept': '1' });
  });

  it('slows down, by latency and by bandwidth', async () => {
    proxy.add(latency(30));
    proxy.add(bandwidth(1_000_000));
    const started = performance.now();
    expect(await get('/100000')).toHaveLength(100_000);
    expect(performance.now() - started).toBeGreaterThan(115);
  });

  it('stalls before the answer and in it, until the client leaves', async () => {
    proxy.add(stalled(), { times: 1 });
    await expect(get('/10', { signal: AbortSignal.timeout(50) })).rejects.toThrow(/timeout/);
    expect(seen).toEqual([]);
    proxy.add(stalledBody(10), { times: 1 });
    const answer = await fetch(`${proxy.url}/20`, { signal: AbortSignal.timeout(100) });
    expect(answer.status).toBe(200);
    await expect(answer.text()).rejects.toThrow(/timeout/);
    expect(await get()).toHaveLength(20);
  });

  it('is out of reach for a time, at the same port afterwards', async () => {
    const over = proxy.outage(50);
    await new Promise((resolve) => setTimeout(resolve, 10));
    await expect(get()).rejects.toThrow(/fetch failed|terminated/);
    await over;
    expect(await get()).toHaveLength(20);
  });
});
