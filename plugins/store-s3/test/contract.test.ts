import { describeContract, storeCases } from '@keyframe/testkit';
import { needs } from '@keyframe/testkit/postgres';
import { createBucket, type S3Server, startMinio, startVersitygw } from '@keyframe/testkit/servers';
import { afterAll, beforeEach, describe, it } from 'vitest';
import { openStore, ownerOf } from './support.ts';

const servers = { versitygw: startVersitygw, minio: startMinio } as const;

describe.each(['versitygw', 'minio'] as const)('on %s', (name) => {
  let started: Promise<S3Server> | undefined;
  const start = async (): Promise<S3Server> => {
    const server = await servers[name]();
    await createBucket(server, 'contract');
    return server;
  };
  beforeEach((context) => needs(context, name));
  afterAll(async () => (await started)?.stop());

  describeContract({ describe, it }, 'store-s3', storeCases, async () => {
    const server = await (started ??= start());
    // The smallest part there is, so that some objects need several.
    return openStore({ ...ownerOf(server, 'contract'), prefix: 'a folder/of ours', partMiB: 5 });
  });
});
