import { textOf } from '@keyframe/contracts/streams';
import { describeContract } from '@keyframe/testkit';
import { needs } from '@keyframe/testkit/postgres';
import {
  expiredCredentials,
  type FaultProxy,
  type HarmedStore,
  httpFaultCases,
  startFaultProxy,
  withoutHeaders,
} from '@keyframe/testkit/proxy';
import { createBucket, type S3Server, startMinistack, startVersitygw } from '@keyframe/testkit/servers';
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
    proxy.add(expiredCredentials('s3'), { method: 'PUT', path: /partNumber=2/ });
    const bytes = { sizeBytes: 12 * MIB, open: () => textOf('x'.repeat(12 * MIB)).open() };
    await expect(store.put('a', bytes)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    expect(proxy.exchanges).toBeGreaterThan(0);
    await store.close?.();
  });
});
