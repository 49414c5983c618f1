import { randomUUID } from 'node:crypto';
import { Secret, type Store } from '@keyframe/contracts';
import { describeContract, storeCases, testHost } from '@keyframe/testkit';
import { missing } from '@keyframe/testkit/postgres';
import { type AzureServer, startAzurite } from '@keyframe/testkit/servers';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { createAzureStore } from '../src/azure-store.ts';
import { optionsOf } from './options.ts';

const reason = await missing('azurite');

describe.skipIf(reason !== undefined)(`on Azurite${reason === undefined ? '' : `: ${reason}`}`, () => {
  let server: AzureServer;
  beforeAll(async () => {
    server = await startAzurite();
    await server.createContainer('kf-test');
  });
  afterAll(() => server.stop());

  const open = (): Store =>
    createAzureStore(
      optionsOf({
        endpoint: server.endpoint,
        accountKey: new Secret(server.account.key),
        prefix: `${randomUUID()}/`,
        partMiB: 1,
      }),
      testHost(),
    );

  describeContract({ describe, it }, 'store-azure', storeCases, open);
});
