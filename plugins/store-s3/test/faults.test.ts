import type { Host, KeyframeError, Store } from '@keyframe/contracts';
import { bytesOf, drain, textOf } from '@keyframe/contracts/streams';
import { describeContract } from '@keyframe/testkit';
import { needs } from '@keyframe/testkit/postgres';
import {
  answered,
  expiredCredentials,
  type FaultProxy,
  type HarmedStore,
  httpFaultCases,
  startFaultProxy,
  withoutHeaders,
} from '@keyframe/testkit/proxy';
import { createBucket, s3Request, type S3Server, startMinistack, startVersitygw } from '@keyframe/testkit/servers';
import { afterAll, beforeEach, describe, expect, it, test } from 'vitest';
import { openStore, ownerOf } from './support.ts';

const MIB = 1 << 20;
const stack = new AsyncDisposableStack();
afterAll(() => stack.disposeAsync());

/** A server and the proxy before it, started once. */
function behindProxy(start: () => Promise<S3Server>): () => Promise<{ server: S3Server; proxy: FaultProxy }> {
  let started: Promise<{ server: S3Server; proxy: FaultProxy }> | undefined;
  return () =>
    (started ??= (async () => {
      const server = stack.use(await start());
      return { server, proxy: stack.use(await startFaultProxy(server.endpoint)) };
    })());
}

describe('over a bad line to versitygw', () => {
  const open = behindProxy(startVersitygw);
  let buckets = 0;
  beforeEach((context) => needs(context, 'versitygw'));

  const harm = async (): Promise<HarmedStore> => {
    const { server, proxy } = await open();
    proxy.clear();
    const bucket = `harmed-${(buckets += 1)}`;
    await createBucket(server, bucket);
    const limits = { partMiB: 5, connectTimeoutSeconds: 1, stallTimeoutSeconds: 1, conditionalWrites: 'trust' };
    const store = openStore({ ...ownerOf(server, bucket), endpoint: proxy.url, ...limits });
    return {
      store,
      proxy,
      dialect: 's3',
      partBytes: 5 * MIB,
      upload: { method: 'PUT' },
      finish: { method: 'POST', path: /uploadId=/ },
      part: { method: 'PUT', path: /partNumber=/ },
      close: async () => store.close?.(),
    };
  };

  describeContract({ describe, it }, 'store-s3', httpFaultCases, harm);

  test('an upload that fails leaves no parts behind', async () => {
    const { store, proxy } = await harm();
    const { server } = await open();
    proxy.add(expiredCredentials('s3'), { method: 'PUT', path: /partNumber=2/ });
    const bytes = bytesOf(Buffer.alloc(12 * MIB));
    await expect(store.put('a', bytes)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    const uploads = await s3Request(server, { method: 'GET', path: `/harmed-${buckets}?uploads=` });
    expect(uploads).toMatchObject({ status: 200 });
    expect(uploads.body).not.toContain('<UploadId>');
    await store.close?.();
  });

  test.each([
    [
      'another region',
      { status: 301, headers: { 'x-amz-bucket-region': 'eu-north-1' } },
      'INVALID_OPTION',
      'eu-north-1',
    ],
    [
      'a clock that is wrong',
      { status: 403, headers: { date: 'Tue, 01 Jan 2030 00:00:00 GMT' }, body: envelope('RequestTimeTooSkewed') },
      'ACCESS_DENIED',
      'clock of this host',
    ],
    [
      'a token that has expired',
      { status: 400, body: envelope('ExpiredToken') },
      'ACCESS_DENIED',
      'Renew the credentials',
    ],
    ['a right that is missing', { status: 403, body: envelope('AccessDenied') }, 'ACCESS_DENIED', 'keyframe setup'],
    ['a key of KMS that is off', { status: 400, body: envelope('KMS.DisabledException') }, 'ACCESS_DENIED', 'key'],
    ['an archived object', { status: 403, body: envelope('InvalidObjectState') }, 'UNAVAILABLE', 'thaw'],
    [
      'a server too old for checksums',
      { status: 411, body: envelope('MissingContentLength') },
      'UNSUPPORTED',
      'when-required',
    ],
  ])('%s is told by name', async (_, answer, code, words) => {
    const { store, proxy } = await harm();
    proxy.add(answered(answer));
    const fault = await store.get('some/key').then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(fault).toMatchObject({ code });
    expect(`${String(fault)} ${(fault as KeyframeError).hint}`).toContain(words);
    await store.close?.();
  });

  test('what cannot be reached or trusted is told by name', async () => {
    const { server } = await open();
    const owner = ownerOf(server, 'harmed-1');
    const cases: [object, string, RegExp][] = [
      [{ bucket: 'no-such-bucket' }, 'INVALID_OPTION', /no bucket 'no-such-bucket'/],
      [{ secretAccessKey: 'another-secret' }, 'ACCESS_DENIED', /secret does not belong/],
      [{ accessKeyId: 'nobody' }, 'ACCESS_DENIED', /access key/],
      [{ endpoint: 'http://127.0.0.1:1' }, 'UNAVAILABLE', /no connection to http:\/\/127.0.0.1:1: ECONNREFUSED/],
      [{ endpoint: server.endpoint.replace('http', 'https') }, 'UNAVAILABLE', /EPROTO|ERR_SSL/],
    ];
    for (const [other, code, words] of cases) {
      const store = openStore({ ...owner, ...other });
      for (const act of [() => store.stat('a'), () => store.get('a'), () => Array.fromAsync(store.list(''))]) {
        const fault = await act().then(
          () => undefined,
          (error: unknown) => error,
        );
        expect(fault).toMatchObject({ code });
      }
      await expect(Array.fromAsync(store.list(''))).rejects.toThrow(words);
      await store.close?.();
    }
  });
});

const envelope = (code: string): string =>
  `<?xml version="1.0"?><Error><Code>${code}</Code><Message>no</Message></Error>`;

describe('a server that ignores conditions on writes', () => {
  const open = behindProxy(startMinistack);
  beforeEach((context) => needs(context, 'ministack'));

  const ignorant = async (bucket: string, host: Partial<Host> = {}): Promise<{ store: Store; proxy: FaultProxy }> => {
    const { server, proxy } = await open();
    await createBucket(server, bucket);
    proxy.clear();
    // ministack checks no signatures, so headers may go missing on the way: Garage does not look at them.
    proxy.add(withoutHeaders('if-none-match', 'if-match'));
    return { store: openStore({ ...ownerOf(server, bucket), endpoint: proxy.url }, host), proxy };
  };

  test('is found out before the first create-only write, and looked at before each', async () => {
    const warnings: string[] = [];
    const log = { debug: () => undefined, info: () => undefined, warn: (message: string) => warnings.push(message) };
    const { store, proxy } = await ignorant('ignorant', { log });
    expect(store.capabilities.conditionalPut).toBe(true);
    await store.put('a', textOf('one'), { ifAbsent: true });
    expect(store.capabilities.conditionalPut).toBe(false);
    expect(warnings).toEqual([expect.stringContaining('ignores conditions')]);
    await expect(store.put('a', textOf('two'), { ifAbsent: true })).rejects.toMatchObject({ code: 'ALREADY_EXISTS' });
    expect((await drain(await store.get('a'))).toString()).toBe('one');
    expect(await Array.fromAsync(store.list(''), ({ key }) => key)).toEqual(['a']);
    // HEAD and PUT, and no probe again.
    const before = proxy.exchanges;
    await store.put('b', textOf('one'), { ifAbsent: true });
    expect(proxy.exchanges - before).toBe(2);
    await expect(store.put('a', textOf('x'), { ifMatch: '"1"' })).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    expect(store.capabilities.conditionalReplace).toBe(false);
    await store.close?.();
  });

  test('one that keeps them costs one request more per process', async () => {
    const { store, proxy } = await ignorant('knowing');
    proxy.clear();
    await store.put('a', textOf('one'), { ifAbsent: true });
    const { server } = await open();
    const again = openStore({ ...ownerOf(server, 'knowing'), endpoint: proxy.url });
    const before = proxy.exchanges;
    await again.put('b', textOf('one'), { ifAbsent: true });
    await again.put('c', textOf('one'), { ifAbsent: true });
    expect(proxy.exchanges - before).toBe(3);
    expect(again.capabilities.conditionalPut).toBe(true);
    await again.close?.();
    await store.close?.();
  });
});
