import { describeContract, storeCases } from '@keyframe/testkit';
import { needs } from '@keyframe/testkit/postgres';
import { createBucket, type S3Server, startMinio, startVersitygw } from '@keyframe/testkit/servers';
import { afterAll, beforeEach, describe, it } from 'vitest';
import { openStore, ownerOf } from './support.ts';

const servers = { versitygw: startVersitygw, minio: startMinio } as const;
/** What a server lacks of a facet that it has otherwise. MinIO clears unfinished uploads itself and takes no rule about them. */
const LACKS = {
  versitygw: undefined,
  minio: 'rules that were written are read again, and writing none removes only those',
};

describe.each(['versitygw', 'minio'] as const)('on %s', (name) => {
  let started: Promise<S3Server> | undefined;
  const start = async (): Promise<S3Server> => {
    const server = await servers[name]();
    await createBucket(server, 'plain');
    await createBucket(server, 'locked', { locked: true });
    return server;
  };
  beforeEach((context) => needs(context, name));
  afterAll(async () => (await started)?.stop());
  const open = (bucket: string) => async () => {
    const server = await (started ??= start());
    // The smallest part there is, so that some objects need several.
    return openStore({ ...ownerOf(server, bucket), prefix: 'a folder/of ours', partMiB: 5 });
  };

  const cases = storeCases.filter((each) => each.name !== LACKS[name]);
  describeContract({ describe, it }, 'store-s3', cases, open('plain'));
  // What a bucket with versions and locks adds; the rest is the same.
  const more = cases.filter(({ name: sentence }) => /version|lock|deleted object|marker/.test(sentence));
  describeContract({ describe, it }, 'store-s3 in a locked bucket', more, open('locked'));
});
