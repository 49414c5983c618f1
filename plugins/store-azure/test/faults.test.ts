import { randomUUID } from 'node:crypto';
import { Secret, type Store } from '@keyframe/contracts';
import { describeContract, testHost } from '@keyframe/testkit';
import { missing } from '@keyframe/testkit/postgres';
import { type FaultProxy, type HarmedStore, httpFaultCases, startFaultProxy } from '@keyframe/testkit/proxy';
import { type AzureServer, startAzurite } from '@keyframe/testkit/servers';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { createAzureStore } from '../src/azure-store.ts';
import { optionsOf } from './options.ts';

const reason = await missing('azurite');
const MIB = 1024 * 1024;

describe.skipIf(reason !== undefined)(`over a bad line${reason === undefined ? '' : `: ${reason}`}`, () => {
  let server: AzureServer;
  let proxy: FaultProxy;
  beforeAll(async () => {
    server = await startAzurite();
    await server.createContainer('kf-test');
    proxy = await startFaultProxy(server.endpoint);
  });
  afterAll(async () => {
    await proxy.stop();
    await server.stop();
  });

  const open = (): HarmedStore => {
    proxy.clear();
    const endpoint = `${proxy.url}/${server.account.name}`;
    const accountKey = new Secret(server.account.key);
    const prefix = `${randomUUID()}/`;
    const [store, hasty] = [20, 0.5].map((stallTimeoutSeconds) =>
      createAzureStore(optionsOf({ endpoint, accountKey, prefix, partMiB: 1, stallTimeoutSeconds }), testHost()),
    ) as [Store, Store];
    return {
      store,
      hasty,
      proxy,
      dialect: 'azure',
      partBytes: MIB,
      upload: { method: 'PUT', path: /^[^?]*$/ },
      part: { method: 'PUT', path: /comp=block&/ },
      finish: { method: 'PUT', path: /comp=blocklist/ },
      close: async () => {
        await store.close?.();
        await hasty.close?.();
      },
    };
  };

  describeContract({ describe, it }, 'store-azure', httpFaultCases, open);
});
