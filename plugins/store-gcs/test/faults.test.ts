import { randomUUID } from 'node:crypto';
import type { Store } from '@keyframe/contracts';
import { describeContract, testHost } from '@keyframe/testkit';
import { missing } from '@keyframe/testkit/postgres';
import { type FaultProxy, type HarmedStore, httpFaultCases, startFaultProxy } from '@keyframe/testkit/proxy';
import { type GcsServer, startFakeGcs } from '@keyframe/testkit/servers';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { createGcsStore } from '../src/gcs-store.ts';
import { optionsOf } from './options.ts';

const reason = await missing('fake-gcs');
const MIB = 1024 * 1024;

describe.skipIf(reason !== undefined)(`over a bad line${reason === undefined ? '' : `: ${reason}`}`, () => {
  let server: GcsServer;
  let proxy: FaultProxy;
  beforeAll(async () => {
    server = await startFakeGcs();
    await server.createBucket('kf-test');
    proxy = await startFaultProxy(server.endpoint);
  });
  afterAll(async () => {
    await proxy.stop();
    await server.stop();
  });

  const open = (): HarmedStore => {
    proxy.clear();
    const prefix = `${randomUUID()}/`;
    const [store, hasty] = [20, 0.5].map((stallTimeoutSeconds) =>
      createGcsStore(optionsOf({ endpoint: proxy.url, prefix, partMiB: 1, stallTimeoutSeconds }), testHost()),
    ) as [Store, Store];
    return {
      store,
      hasty,
      proxy,
      dialect: 'gcs',
      partBytes: MIB,
      upload: { method: 'POST', path: /uploadType=multipart/ },
      part: { method: 'PUT', path: /upload_id=/ },
      finish: { method: 'PUT', path: /upload_id=/, nth: 3 },
      close: async () => {
        await store.close?.();
        await hasty.close?.();
      },
    };
  };

  describeContract({ describe, it }, 'store-gcs', httpFaultCases, open);
});
