/** Requests that Azurite does not carry out, as they are sent. */
import { randomBytes } from 'node:crypto';
import { Secret, type Store } from '@keyframe/contracts';
import { bytesOf, textOf } from '@keyframe/contracts/streams';
import { testHost } from '@keyframe/testkit';
import { type OwnAnswer, type RecordedRequest, type Recorder, startRecorder } from '@keyframe/testkit/proxy';
import { afterEach, describe, expect, it } from 'vitest';
import { createAzureStore } from '../src/azure-store.ts';
import type { AzureOptions } from '../src/options.ts';
import { optionsOf } from './options.ts';

const MIB = 1024 * 1024;
const open: { recorder: Recorder | undefined } = { recorder: undefined };
afterEach(() => open.recorder?.stop());

async function record(
  answer: (request: RecordedRequest) => OwnAnswer,
  changed: Partial<AzureOptions> = {},
): Promise<{ store: Store; requests: readonly RecordedRequest[] }> {
  const recorder = await startRecorder(answer);
  open.recorder = recorder;
  const store = createAzureStore(
    optionsOf({ endpoint: `${recorder.url}/devstoreaccount1`, prefix: 'pg/', ...changed }),
    testHost(),
  );
  return { store, requests: recorder.requests };
}

const done: OwnAnswer = { status: 201, headers: { etag: '"0x1"', 'last-modified': 'Tue, 01 Jan 2030 00:00:00 GMT' } };
const failing = (status: number, code: string): OwnAnswer => ({ status, headers: { 'x-ms-error-code': code } });

describe('recorded: an upload', () => {
  it('carries condition, checksum, tier, lock and scope', async () => {
    const { store, requests } = await record(() => done, { encryptionScope: 'vault' });
    const retainUntil = new Date('2030-01-02T03:04:05.001Z');
    const info = await store.put('a', textOf('x'), { ifAbsent: true, storageClass: 'Cool', retainUntil });
    expect(info.version).toBe('0x1');
    expect(requests[0]?.path).toBe('/devstoreaccount1/kf-test/pg/a');
    expect(requests[0]?.headers).toMatchObject({
      'if-none-match': '*',
      'content-md5': 'ndTkYSaMgDT1yFZOFVxnpg==',
      'x-ms-access-tier': 'Cool',
      'x-ms-blob-type': 'BlockBlob',
      'x-ms-encryption-scope': 'vault',
      // Never shorter than asked for.
      'x-ms-immutability-policy-until-date': 'Wed, 02 Jan 2030 03:04:06 GMT',
      'x-ms-immutability-policy-mode': 'locked',
    });
  });

  it('in blocks names condition and lock in the list, the scope everywhere, and blocks of one series and length', async () => {
    const { store, requests } = await record(() => done, { encryptionScope: 'vault', partMiB: 1 });
    await store.put('a', bytesOf(Buffer.alloc(2 * MIB + 1)), { ifMatch: '0x5' });
    const blocks = requests.filter(({ query }) => query['comp'] === 'block');
    const list = requests.find(({ query }) => query['comp'] === 'blocklist');
    expect(blocks.map(({ body }) => body.length)).toEqual([MIB, MIB, 1]);
    expect(requests.every(({ headers }) => headers['x-ms-encryption-scope'] === 'vault')).toBe(true);
    expect(blocks.every(({ headers }) => headers['if-match'] === undefined)).toBe(true);
    expect(list?.headers).toMatchObject({ 'if-match': '"0x5"', 'x-ms-blob-content-md5': 'Ttpbz17wzUBmQlAG26n/qg==' });
    const ids = [...(list?.body ?? '').matchAll(/<Uncommitted>([^<]+)/g)].map((match) => match[1] ?? '');
    expect(ids).toEqual(blocks.map(({ query }) => query['blockid']));
    expect(new Set(ids.map((id) => id.length)).size).toBe(1);
    expect(new Set(ids.map((id) => id.slice(0, 16))).size).toBe(1);
  });

  it.each([
    ['BlobAlreadyExists', 409, { ifAbsent: true }, 'ALREADY_EXISTS'],
    ['ConditionNotMet', 412, { ifAbsent: true }, 'ALREADY_EXISTS'],
    ['ConditionNotMet', 412, { ifMatch: '1' }, 'CONFLICT'],
    ['BlobImmutableDueToPolicy', 409, {}, 'ACCESS_DENIED'],
    ['InvalidBlockList', 400, { ifAbsent: true }, 'UNAVAILABLE'],
    ['Md5Mismatch', 400, {}, 'UNAVAILABLE'],
    ['ContainerNotFound', 404, {}, 'INVALID_OPTION'],
    ['KeyBasedAuthenticationNotPermitted', 403, {}, 'ACCESS_DENIED'],
    ['ServerBusy', 503, {}, 'UNAVAILABLE'],
  ])('that is answered %s (%i) with %j is %s', async (code, status, how, expected) => {
    const { store } = await record(({ method }) =>
      method === 'HEAD' ? failing(404, 'BlobNotFound') : failing(status, code),
    );
    await expect(store.put('a', textOf('x'), how)).rejects.toMatchObject({ code: expected });
  });
});

describe('recorded: a key of one’s own', () => {
  it('is never sent over http', () => {
    const encryptionKey = new Secret(randomBytes(32).toString('base64'));
    const create = () => createAzureStore(optionsOf({ encryptionKey }), testHost());
    expect(create).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }) as Error);
  });
});

describe('recorded: a lock', () => {
  const head = {
    status: 200,
    headers: {
      'x-ms-immutability-policy-until-date': 'Tue, 01 Jan 2030 00:00:00 GMT',
      'x-ms-immutability-policy-mode': 'unlocked',
    },
  };

  it('is told, and grows but does not shrink', async () => {
    const { store, requests } = await record(() => head);
    expect(await store.retention?.until('a')).toEqual(new Date('2030-01-01T00:00:00Z'));
    await store.retention?.extend('a', new Date('2029-01-01T00:00:00Z'));
    expect(requests.map(({ method }) => method)).toEqual(['HEAD', 'HEAD']);
    await store.retention?.extend('a', new Date('2031-01-01T00:00:00Z'), { version: 'v1' });
    expect(requests.at(-1)).toMatchObject({
      method: 'PUT',
      query: { comp: 'immutabilityPolicies', versionid: 'v1' },
      headers: {
        'x-ms-immutability-policy-until-date': 'Wed, 01 Jan 2031 00:00:00 GMT',
        'x-ms-immutability-policy-mode': 'locked',
      },
    });
  });

  it('can be had where the container says so, and is UNSUPPORTED elsewhere', async () => {
    const able = await record(() => ({
      status: 200,
      headers: { 'x-ms-immutable-storage-with-versioning-enabled': 'true' },
    }));
    expect(await able.store.retention?.enabled()).toBe(true);
    await open.recorder?.stop();
    const unable = await record(({ method }) =>
      method === 'HEAD' ? { status: 200 } : failing(409, 'FeatureNotEnabled'),
    );
    expect(await unable.store.retention?.enabled()).toBe(false);
    const extending = unable.store.retention?.extend('a', new Date('2031-01-01T00:00:00Z'));
    await expect(extending).rejects.toMatchObject({ code: 'UNSUPPORTED' });
    const how = { ifAbsent: true, retainUntil: new Date('2031-01-01T00:00:00Z') };
    await expect(unable.store.put('a', textOf('x'), how)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });
});

describe('recorded: versions', () => {
  const blob = (name: string, version: string, current: boolean) =>
    `<Blob><Name>${name}</Name><VersionId>${version}</VersionId>${current ? '<IsCurrentVersion>true</IsCurrentVersion>' : ''}<Properties><Last-Modified>Tue, 01 Jan 2030 00:00:00 GMT</Last-Modified><Etag>0x1</Etag><Content-Length>5</Content-Length></Properties></Blob>`;
  const page = (blobs: string, next = ''): OwnAnswer => ({
    status: 200,
    body: `<?xml version="1.0"?><EnumerationResults><Blobs>${blobs}</Blobs><NextMarker>${next}</NextMarker></EnumerationResults>`,
  });

  it('are listed over pages, and read and removed by their id', async () => {
    const { store, requests } = await record(({ method, query }) => {
      if (method === 'DELETE') return { status: 202 };
      if (query['comp'] !== 'list') return { status: 200, body: 'older' };
      return query['marker'] === undefined
        ? page(blob('pg/a&amp;b', 'v1', false), 'm')
        : page(blob('pg/a&amp;b', 'v2', true));
    });
    const found = await Array.fromAsync(store.versions?.list('') ?? []);
    expect(found.map(({ key, version, latest }) => [key, version, latest])).toEqual([
      ['a&b', 'v1', false],
      ['a&b', 'v2', true],
    ]);
    await store.versions?.get('a&b', 'v1');
    await store.versions?.delete([{ key: 'a&b', version: 'v1' }]);
    expect(requests.slice(-2).map(({ method, query }) => [method, query['versionid']])).toEqual([
      ['GET', 'v1'],
      ['DELETE', 'v1'],
    ]);
  });
});

describe('recorded: many deletes', () => {
  it('are one request, whose every answer counts', async () => {
    const { store, requests } = await record((request) => {
      const boundary = 'answers';
      const parts = [202, 404, 409].map((status, id) => {
        const code = status === 404 ? 'BlobNotFound' : 'BlobImmutableDueToPolicy';
        return `--${boundary}\r\nContent-Type: application/http\r\nContent-ID: ${id}\r\n\r\nHTTP/1.1 ${status} x\r\n${status === 202 ? '' : `x-ms-error-code: ${code}\r\n`}\r\n`;
      });
      expect(request.body.match(/^DELETE \/devstoreaccount1\/kf-test\/pg\/\w HTTP\/1.1$/gm)).toHaveLength(3);
      return { status: 202, body: `${parts.join('')}--${boundary}--` };
    });
    await expect(store.delete(['a', 'b', 'c'])).rejects.toMatchObject({ code: 'ACCESS_DENIED', details: { key: 'c' } });
    expect(requests).toHaveLength(1);
  });
});

describe('recorded: an archived object', () => {
  it('cannot be read, says so, and is thawed once', async () => {
    let thawing = false;
    const { store, requests } = await record(({ method, query }) => {
      if (query['comp'] === 'tier') thawing = true;
      if (method === 'GET') return failing(409, 'BlobArchived');
      return {
        status: 200,
        headers: {
          'x-ms-access-tier': 'Archive',
          ...(thawing ? { 'x-ms-archive-status': 'rehydrate-pending-to-hot' } : {}),
        },
      };
    });
    await expect(store.get('a')).rejects.toMatchObject({ code: 'UNAVAILABLE', details: { archived: true } });
    await store.tiers?.thaw('a', { days: 3, speed: 'expedited' });
    await store.tiers?.thaw('a', { days: 3, speed: 'expedited' });
    expect(await store.tiers?.state('a')).toEqual({ storageClass: 'Archive', readable: false, thawing: true });
    const asked = requests.filter(({ query }) => query['comp'] === 'tier');
    expect(asked.map(({ headers }) => headers['x-ms-rehydrate-priority'])).toEqual(['High']);
  });
});

describe('recorded: the account', () => {
  it('gets rules by its management API, and keeps those of others', async () => {
    const other = {
      name: 'mine',
      definition: {
        filters: { prefixMatch: ['else/'] },
        actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 9 } } },
      },
    };
    let policy = { properties: { policy: { rules: [other] as object[] } } };
    const recorder = await startRecorder(({ method, body }) => {
      if (method === 'PUT') policy = JSON.parse(body) as typeof policy;
      return { status: 200, body: JSON.stringify(policy) };
    });
    open.recorder = recorder;
    const management = { subscription: 's', resourceGroup: 'g', endpoint: recorder.url };
    const store = createAzureStore(optionsOf({ prefix: 'pg/', auth: 'anonymous', management }), testHost());
    const rules = [
      {
        id: 'keyframe-archive',
        prefix: '',
        tag: { key: 'keyframe-tier', value: 'archive' },
        action: { kind: 'transition', afterDays: 0, storageClass: 'Archive' },
      },
      {
        id: 'keyframe-old-versions',
        prefix: 'leases/',
        tag: undefined,
        action: { kind: 'expire-old-versions', afterDays: 1 },
      },
    ] as const;
    await store.lifecycle?.write(rules);
    expect(recorder.requests.at(-1)?.path).toBe(
      '/subscriptions/s/resourceGroups/g/providers/Microsoft.Storage/storageAccounts/devstoreaccount1/managementPolicies/default',
    );
    const read = await store.lifecycle?.read();
    expect(read?.rules).toEqual(rules);
    expect(read?.foreign).toEqual([JSON.stringify(other)]);
    await store.lifecycle?.write([]);
    expect(policy.properties.policy.rules).toEqual([other]);
  });

  it('is told a rule by age that strikes our objects', async () => {
    const rule = {
      name: 'x',
      definition: { actions: { baseBlob: { delete: { daysAfterModificationGreaterThan: 30 } } } },
    };
    const recorder = await startRecorder(() => ({
      status: 200,
      body: JSON.stringify({ properties: { policy: { rules: [rule] } } }),
    }));
    open.recorder = recorder;
    const management = { subscription: 's', resourceGroup: 'g', endpoint: recorder.url };
    const store = createAzureStore(optionsOf({ auth: 'anonymous', management }), testHost());
    expect((await store.lifecycle?.read())?.rules).toMatchObject([
      { prefix: '', action: { kind: 'expire', afterDays: 30 } },
    ]);
  });
});
