import { randomUUID } from 'node:crypto';
import type { Store } from '@keyframe/contracts';
import { describeContract, storeCases, testHost } from '@keyframe/testkit';
import { missing } from '@keyframe/testkit/postgres';
import { type GcsServer, startFakeGcs } from '@keyframe/testkit/servers';
import { afterAll, beforeAll, describe, it } from 'vitest';
import { createGcsStore } from '../src/gcs-store.ts';
import { optionsOf } from './options.ts';

const reason = await missing('fake-gcs');

describe.skipIf(reason !== undefined)(`on fake-gcs-server${reason === undefined ? '' : `: ${reason}`}`, () => {
  let server: GcsServer;
  beforeAll(async () => {
    server = await startFakeGcs();
    await server.createBucket('kf-test');
  });
  afterAll(() => server.stop());

  const open = (): Store =>
    createGcsStore(
      optionsOf({ endpoint: server.endpoint, bucket: 'kf-test', prefix: `${randomUUID()}/`, partMiB: 1 }),
      testHost(),
    );

  describeContract({ describe, it }, 'store-gcs', storeCases, open);
});
