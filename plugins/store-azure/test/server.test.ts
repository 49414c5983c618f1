import { createHmac, randomBytes, randomUUID } from 'node:crypto';
import { Secret, type Store } from '@keyframe/contracts';
import { bytesOf, drain, textOf } from '@keyframe/contracts/streams';
import { describeContract, storeCases, testHost } from '@keyframe/testkit';
import { missing } from '@keyframe/testkit/postgres';
import { type AzureServer, startAzurite } from '@keyframe/testkit/servers';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createAzureStore } from '../src/azure-store.ts';
import type { AzureOptions } from '../src/options.ts';
import { optionsOf } from './options.ts';

const reason = await missing('azurite');

describe.skipIf(reason !== undefined)(`on Azurite${reason === undefined ? '' : `: ${reason}`}`, () => {
  let server: AzureServer;
  beforeAll(async () => {
    server = await startAzurite();
    await server.createContainer('kf-test');
  });
  afterAll(() => server.stop());

  const open = (changed: Partial<AzureOptions> = {}): Store =>
    createAzureStore(
      optionsOf({
        endpoint: server.endpoint,
        accountKey: new Secret(server.account.key),
        prefix: `${randomUUID()}/`,
        partMiB: 1,
        ...changed,
      }),
      testHost(),
    );
  /** A SAS for the container, until so many seconds from now. */
  const sas = (permissions: string, seconds: number): Secret => {
    const expiry = new Date(Date.now() + seconds * 1000).toISOString().replace(/\.\d+/, '');
    const [version, resource] = ['2020-12-06', `/blob/${server.account.name}/kf-test`];
    const text = [permissions, '', expiry, resource, '', '', '', version, 'c', '', '', '', '', '', '', ''].join('\n');
    const sig = createHmac('sha256', Buffer.from(server.account.key, 'base64')).update(text).digest('base64');
    return new Secret(`?${String(new URLSearchParams({ sp: permissions, se: expiry, sv: version, sr: 'c', sig }))}`);
  };

  it.each([
    ['put', (store: Store) => store.put('a', textOf('x'))],
    ['put in parts', (store: Store) => store.put('a', bytesOf(Buffer.alloc(1_500_000)))],
    ['get', (store: Store) => store.get('a')],
    ['stat', (store: Store) => store.stat('a')],
    ['list', (store: Store) => Array.fromAsync(store.list(''))],
    ['delete', (store: Store) => store.delete(['a', 'b', 'c'])],
  ])('%s in a container that does not exist is no absent object', async (_name, act) => {
    await expect(act(open({ container: 'no-such' }))).rejects.toMatchObject({
      code: 'INVALID_OPTION',
      hint: expect.stringContaining('az storage container create') as string,
    });
  });

  it('a connection string opens the account', async () => {
    const text = `DefaultEndpointsProtocol=http;AccountName=${server.account.name};AccountKey=${server.account.key};BlobEndpoint=${server.endpoint};`;
    const store = open({
      account: undefined,
      endpoint: undefined,
      accountKey: undefined,
      connectionString: new Secret(text),
    });
    await store.put('a', textOf('x'));
    expect((await store.stat('a'))?.sizeBytes).toBe(1);
  });

  it('a SAS opens what it is for, deletes of many included, and nothing else', async () => {
    const prefix = `${randomUUID()}/`;
    const owner = open({ accountKey: undefined, prefix, sas: sas('rwdl', 60) });
    for (const key of ['a', 'b', 'c', 'd']) await owner.put(key, textOf('x'), { ifAbsent: true });
    await owner.delete(['a', 'b', 'c']);
    expect((await Array.fromAsync(owner.list(''))).map(({ key }) => key)).toEqual(['d']);
    const reader = open({ accountKey: undefined, prefix, sas: sas('rl', 60) });
    expect((await drain(await reader.get('d'))).toString()).toBe('x');
    await expect(reader.put('e', textOf('x'))).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await expect(reader.delete(['d'])).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  });

  it('an expired SAS, a wrong key and no credentials are ACCESS_DENIED, with a hint each', async () => {
    for (const changed of [
      { accountKey: undefined, sas: sas('rwdl', -60) },
      { accountKey: new Secret(randomBytes(64).toString('base64')) },
      { accountKey: undefined, auth: 'anonymous' as const },
    ])
      for (const act of [(store: Store) => store.stat('a'), (store: Store) => Array.fromAsync(store.list(''))])
        await expect(act(open(changed))).rejects.toMatchObject({
          code: 'ACCESS_DENIED',
          hint: expect.stringMatching(/`(sas|accountKey)`/) as string,
        });
  });

  it('an archived object is in its tier and cannot be read', async () => {
    const store = open();
    await store.put('cold', textOf('x'), { storageClass: 'Cool' });
    expect(await store.tiers?.state('cold')).toEqual({ storageClass: 'Cool', readable: true, thawing: false });
    await store.tiers?.move('cold', 'Archive');
    expect((await store.tiers?.state('cold'))?.readable).toBe(false);
    await expect(store.get('cold')).rejects.toMatchObject({ code: 'UNAVAILABLE', details: { archived: true } });
  });

  it('an upload in parts that fails keeps what stood there', async () => {
    const store = open();
    await store.put('a', textOf('old'));
    await expect(store.put('a', bytesOf(Buffer.alloc(2_500_000)), { ifAbsent: true })).rejects.toMatchObject({
      code: 'ALREADY_EXISTS',
    });
    await expect(store.put('a', bytesOf(Buffer.alloc(2_500_000)), { ifMatch: '0x1' })).rejects.toMatchObject({
      code: 'CONFLICT',
    });
    expect((await drain(await store.get('a'))).toString()).toBe('old');
  });

  const emulated = (name: string): boolean => /rules (of the bucket|that were written)/.test(name);
  const cases = storeCases.map((each) =>
    emulated(each.name)
      ? Object.assign({}, each, {
          needs: { reason: 'Azurite has no management API: see `recorded`', met: () => false },
        })
      : each,
  );
  const management = { subscription: 's', resourceGroup: 'g', endpoint: 'http://127.0.0.1:1' };

  describeContract({ describe, it }, 'store-azure', cases, () => open({ management }));
});
