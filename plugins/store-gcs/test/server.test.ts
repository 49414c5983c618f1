import { randomBytes, randomUUID } from 'node:crypto';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { Store } from '@keyframe/contracts';
import { bytesOf, textOf } from '@keyframe/contracts/streams';
import { describeContract, storeCases, testHost } from '@keyframe/testkit';
import { missing } from '@keyframe/testkit/postgres';
import { type GcsServer, startFakeGcs } from '@keyframe/testkit/servers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createGcsStore } from '../src/gcs-store.ts';
import { optionsOf } from './options.ts';

const MIB = 1024 * 1024;
const reason = await missing('fake-gcs');

describe.skipIf(reason !== undefined)(`on fake-gcs-server${reason === undefined ? '' : `: ${reason}`}`, () => {
  let server: GcsServer;
  beforeAll(async () => {
    server = await startFakeGcs();
    await server.createBucket('kf-test');
    await server.createBucket('kf-versioned', { versioning: { enabled: true } });
  });
  afterAll(() => server.stop());

  const open = (bucket = 'kf-test'): Store =>
    createGcsStore(
      optionsOf({ endpoint: server.endpoint, bucket, prefix: `${randomUUID()}/`, partMiB: 1 }),
      testHost(),
    );

  it.each([
    ['put', (store: Store) => store.put('a', textOf('x'))],
    ['put in parts', (store: Store) => store.put('a', bytesOf(Buffer.alloc(1_500_000)))],
    ['get', (store: Store) => store.get('a')],
    ['stat', (store: Store) => store.stat('a')],
    ['list', (store: Store) => Array.fromAsync(store.list(''))],
    ['delete', (store: Store) => store.delete(['a'])],
  ])('%s in a bucket that does not exist is no absent object', async (_name, act) => {
    const store = createGcsStore(optionsOf({ endpoint: server.endpoint, bucket: 'no-such', partMiB: 1 }), testHost());
    await expect(act(store)).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      hint: expect.stringContaining('gcloud storage buckets create') as string,
    });
  });

  it('memory stays at two parts, however large the object is', async () => {
    const store = open();
    setFlagsFromString('--expose-gc');
    const collect = runInNewContext('gc') as () => void;
    const chunk = randomBytes(MIB);
    let highest = 0;
    const start = process.memoryUsage().arrayBuffers;
    await store.put('large', {
      sizeBytes: undefined,
      open: async function* () {
        for (let index = 0; index < 24; index += 1) {
          yield chunk;
          collect();
          highest = Math.max(highest, process.memoryUsage().arrayBuffers - start);
        }
      },
    });
    expect((await store.stat('large'))?.sizeBytes).toBe(24 * MIB);
    expect(highest).toBeLessThan(6 * MIB);
  });

  const unlike: ReadonlyArray<readonly [RegExp, string]> = [
    [/rules that were written/, 'fake-gcs-server forgets rules: see `recorded`'],
    [/listed among more than a thousand/, 'fake-gcs-server gives a version again at the begin of the next page'],
  ];
  const cases = storeCases.map((each) => {
    const why = unlike.find(([name]) => name.test(each.name))?.[1];
    return why === undefined ? each : Object.assign({}, each, { needs: { reason: why, met: () => false } });
  });
  const ofVersions = cases.filter((_, index) => storeCases[index]?.needs?.reason.includes('old versions'));
  describeContract({ describe, it }, 'store-gcs', cases, () => open());
  describeContract({ describe, it }, 'store-gcs with versions', ofVersions, () => open('kf-versioned'));
});
