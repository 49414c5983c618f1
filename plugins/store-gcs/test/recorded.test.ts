/** Requests that fake-gcs-server does not carry out, as they are sent. */
import { randomBytes } from 'node:crypto';
import { Secret, type Store } from '@keyframe/contracts';
import { bytesOf, textOf } from '@keyframe/contracts/streams';
import { testHost } from '@keyframe/testkit';
import { type OwnAnswer, type RecordedRequest, type Recorder, startRecorder } from '@keyframe/testkit/proxy';
import { afterEach, describe, expect, it } from 'vitest';
import { createGcsStore } from '../src/gcs-store.ts';
import type { GcsOptions } from '../src/options.ts';
import { optionsOf } from './options.ts';

const MIB = 1024 * 1024;
const OBJECT = '/storage/v1/b/kf-test/o/pg%2Fa';
const open: { recorder: Recorder | undefined } = { recorder: undefined };
afterEach(() => open.recorder?.stop());

const json = (value: object, status = 200): OwnAnswer => ({ status, body: JSON.stringify(value) });

async function record(
  answer: (request: RecordedRequest) => OwnAnswer,
  changed: Partial<GcsOptions> = {},
): Promise<{ store: Store; requests: readonly RecordedRequest[] }> {
  const recorder = await startRecorder(answer);
  open.recorder = recorder;
  const store = createGcsStore(optionsOf({ endpoint: recorder.url, prefix: 'pg/', ...changed }), testHost());
  return { store, requests: recorder.requests };
}

const metadataIn = ({ body }: RecordedRequest): Record<string, unknown> =>
  JSON.parse(body.split('\r\n\r\n')[1]?.split('\r\n')[0] ?? '') as Record<string, unknown>;

describe('recorded: an upload', () => {
  it('carries condition, checksum, class, lock and key of Cloud KMS', async () => {
    const kmsKey = 'projects/p/locations/l/keyRings/r/cryptoKeys/k';
    const { store, requests } = await record(() => json({ name: 'pg/a', size: '1', generation: '7' }), { kmsKey });
    const retainUntil = new Date('2030-01-02T03:04:05Z');
    await store.put('a', textOf('x'), { ifAbsent: true, storageClass: 'NEARLINE', retainUntil });
    const [request] = requests;
    expect(request?.query).toMatchObject({ uploadType: 'multipart', ifGenerationMatch: '0', kmsKeyName: kmsKey });
    expect(request && metadataIn(request)).toMatchObject({
      name: 'pg/a',
      md5Hash: 'ndTkYSaMgDT1yFZOFVxnpg==',
      storageClass: 'NEARLINE',
      retention: { mode: 'Locked', retainUntilTime: '2030-01-02T03:04:05.000Z' },
    });
  });

  it('carries the key of one’s own in every request that touches bytes, and never in an address', async () => {
    const key = randomBytes(32).toString('base64');
    const { store, requests } = await record(
      (request) =>
        request.query['uploadType'] === 'resumable'
          ? { status: 200, headers: { location: `http://${request.headers.host}/session` } }
          : /\/\d+$/.test(request.headers['content-range'] ?? '/1')
            ? json({ name: 'pg/a', size: String(MIB + 1) })
            : {
                status: 308,
                headers: { range: (request.headers['content-range'] ?? '').replace(/^bytes (.*)\/.*/, 'bytes=$1') },
              },
      { encryptionKey: new Secret(key), partMiB: 1 },
    );
    await store.put('a', bytesOf(Buffer.alloc(MIB + 1)));
    await store.stat('a');
    await store.get('a');
    expect(requests.length).toBe(5);
    for (const request of requests) {
      expect(request.headers['x-goog-encryption-key']).toBe(key);
      expect(`${request.path}${JSON.stringify(request.query)}`).not.toContain(key);
    }
    expect(requests.map(({ headers }) => headers['content-range'])).toEqual([
      undefined,
      'bytes 0-1048575/*',
      'bytes 1048576-1048576/1048577',
      undefined,
      undefined,
    ]);
    expect(requests[2]?.headers['x-goog-hash']).toMatch(/^md5=/);
  });

  it('of which the service kept only the beginning is sent on from there', async () => {
    let seen = 0;
    const { store, requests } = await record(
      (request) => {
        if (request.query['uploadType'] === 'resumable')
          return { status: 200, headers: { location: `http://${request.headers.host}/session` } };
        seen += 1;
        if (seen === 3) return json({ name: 'pg/a', size: String(MIB + 1) });
        return { status: 308, headers: { range: seen === 1 ? 'bytes=0-262143' : 'bytes=0-1048575' } };
      },
      { partMiB: 1 },
    );
    await store.put('a', bytesOf(Buffer.alloc(MIB), Buffer.from('b')));
    expect(requests.slice(1).map(({ headers }) => headers['content-range'])).toEqual([
      'bytes 0-1048575/*',
      'bytes 262144-1048575/*',
      'bytes 1048576-1048576/1048577',
    ]);
    expect(requests[2]?.body.length).toBe(MIB - 262_144);
  });

  it('that ends before all parts were sent is refused, and taken away', async () => {
    const { store, requests } = await record(
      (request) =>
        request.query['uploadType'] === 'resumable'
          ? { status: 200, headers: { location: `http://${request.headers.host}/session` } }
          : json({ name: 'pg/a', size: String(MIB), generation: '7' }),
      { partMiB: 1 },
    );
    const put = store.put('a', bytesOf(Buffer.alloc(MIB), Buffer.from('b')));
    await expect(put).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    expect(requests.find(({ path, method }) => method === 'DELETE' && path === OBJECT)?.query).toEqual({
      generation: '7',
    });
  });
});

describe('recorded: a lock', () => {
  const locked = {
    name: 'pg/a',
    generation: '7',
    retention: { mode: 'Locked', retainUntilTime: '2030-01-01T00:00:00Z' },
  };

  it('is told, and grows but does not shrink', async () => {
    const { store, requests } = await record(() => json(locked));
    expect(await store.retention?.until('a')).toEqual(new Date('2030-01-01T00:00:00Z'));
    await store.retention?.extend('a', new Date('2029-01-01T00:00:00Z'));
    expect(requests.map(({ method }) => method)).toEqual(['GET', 'GET']);
    await store.retention?.extend('a', new Date('2031-01-01T00:00:00Z'));
    expect(requests.at(-1)).toMatchObject({
      method: 'PATCH',
      path: OBJECT,
      query: { generation: '7' },
      body: JSON.stringify({ retention: { mode: 'Locked', retainUntilTime: '2031-01-01T00:00:00.000Z' } }),
    });
  });

  it('of the bucket counts where it is the longer one', async () => {
    const { store } = await record(() => json({ ...locked, retentionExpirationTime: '2032-01-01T00:00:00Z' }));
    expect(await store.retention?.until('a')).toEqual(new Date('2032-01-01T00:00:00Z'));
  });

  it('that forbids a delete is ACCESS_DENIED; where none can be set it is UNSUPPORTED, and a word of how', async () => {
    const refused = await record(() =>
      json(
        { error: { message: 'Object is under active Temporary hold', errors: [{ reason: 'objectUnderActiveHold' }] } },
        403,
      ),
    );
    await expect(refused.store.delete(['a'])).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    await open.recorder?.stop();
    const unfit = await record(({ method }) =>
      method === 'GET' ? json({ name: 'pg/a', generation: '7' }) : json({ error: { message: 'not enabled' } }, 400),
    );
    const extending = unfit.store.retention?.extend('a', new Date('2031-01-01T00:00:00Z'));
    await expect(extending).rejects.toMatchObject({
      code: 'UNSUPPORTED',
      hint: expect.stringContaining('--enable-per-object-retention') as string,
    });
    const how = { retainUntil: new Date('2031-01-01T00:00:00Z') };
    await expect(unfit.store.put('a', textOf('x'), how)).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });
});

describe('recorded: the bucket', () => {
  it('gets rules with ids in labels, and keeps those of others', async () => {
    let bucket: { lifecycle: { rule: object[] }; labels: Record<string, string | null>; metageneration: string } = {
      lifecycle: { rule: [{ action: { type: 'Delete' }, condition: { age: 9, matchesPrefix: ['other/'] } }] },
      labels: { team: 'a' },
      metageneration: '5',
    };
    const { store, requests } = await record((request) => {
      if (request.method === 'PATCH') {
        const patch = JSON.parse(request.body) as typeof bucket;
        const labels = Object.entries({ ...bucket.labels, ...patch.labels }).filter(([, value]) => value !== null);
        bucket = { ...bucket, ...patch, labels: Object.fromEntries(labels) };
      }
      return json(bucket);
    });
    const rules = [
      { id: 'keyframe-abort-uploads', prefix: '', action: { kind: 'abort-uploads', afterDays: 2 } },
      {
        id: 'keyframe-cold',
        prefix: 'clusters/',
        action: { kind: 'transition', afterDays: 30, storageClass: 'COLDLINE' },
      },
      { id: 'keyframe-old-versions', prefix: 'leases/', action: { kind: 'expire-old-versions', afterDays: 1 } },
    ] as const;
    await store.lifecycle?.write(rules);
    expect(requests.at(-1)?.query).toMatchObject({ ifMetagenerationMatch: '5' });
    expect(bucket.lifecycle.rule[2]).toEqual({
      action: { type: 'SetStorageClass', storageClass: 'COLDLINE' },
      condition: { age: 30, matchesPrefix: ['pg/clusters/'] },
    });
    const read = await store.lifecycle?.read();
    expect(read?.rules).toEqual(rules);
    expect(read?.foreign).toHaveLength(1);
    await store.lifecycle?.write([]);
    expect(bucket.lifecycle.rule).toHaveLength(1);
    expect(bucket.labels).toEqual({ team: 'a' });
  });

  it('is told a rule by age that strikes our objects', async () => {
    const rule = [{ action: { type: 'Delete' }, condition: { age: 30 } }];
    const { store } = await record(() => json({ lifecycle: { rule } }));
    expect((await store.lifecycle?.read())?.rules).toEqual([
      { id: 'rule-1', prefix: '', action: { kind: 'expire', afterDays: 30 } },
    ]);
  });

  it('refuses rules by tag', async () => {
    const { store } = await record(() => json({}));
    const rule = {
      id: 'keyframe-x',
      prefix: '',
      tag: { key: 'a', value: 'b' },
      action: { kind: 'abort-uploads', afterDays: 1 },
    };
    await expect(store.lifecycle?.write([rule as never])).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });

  it('of two regions gets turbo replication; of one it is UNSUPPORTED', async () => {
    const dual = await record(() =>
      json({ location: 'EUR4', locationType: 'dual-region', rpo: 'DEFAULT', metageneration: '3' }),
    );
    expect(await dual.store.replication?.read()).toEqual(['dual-region EUR4, rpo DEFAULT']);
    await dual.store.replication?.apply();
    expect(dual.requests.at(-1)).toMatchObject({ method: 'PATCH', body: '{"rpo":"ASYNC_TURBO"}' });
    await open.recorder?.stop();
    const single = await record(() => json({ location: 'EUROPE-WEST3', locationType: 'region' }));
    await expect(single.store.replication?.apply()).rejects.toMatchObject({ code: 'UNSUPPORTED' });
  });
});

describe('recorded: a class', () => {
  it('is changed by rewriting until it is done, with the keys of both sides', async () => {
    let round = 0;
    const { store, requests } = await record(
      ({ method }) => {
        if (method === 'GET')
          return json({ name: 'pg/a', generation: '7', storageClass: 'STANDARD', metadata: { m: '1' } });
        round += 1;
        return json(round === 1 ? { done: false, rewriteToken: 't' } : { done: true });
      },
      { encryptionKey: new Secret(randomBytes(32).toString('base64')) },
    );
    await store.tiers?.move('a', 'ARCHIVE');
    expect(requests.map(({ query }) => query['rewriteToken'])).toEqual([undefined, undefined, 't']);
    expect(requests[1]?.query['ifGenerationMatch']).toBe('7');
    expect(requests[1]?.headers['x-goog-copy-source-encryption-key']).toBe(
      requests[1]?.headers['x-goog-encryption-key'],
    );
  });
});

describe('recorded: encryption', () => {
  it('is told by what the object says, whatever the version of the key', async () => {
    const kmsKey = 'projects/p/locations/l/keyRings/r/cryptoKeys/k';
    const { store } = await record(() => json({ kmsKeyName: `${kmsKey}/cryptoKeyVersions/3` }), { kmsKey });
    const found = await store.atRest?.of('a');
    expect(found).toEqual({ method: 'CMEK', keyId: kmsKey });
    expect(found && store.atRest?.matches(found)).toBe(true);
    expect(store.atRest?.matches({ method: 'CMEK', keyId: `${kmsKey}2` })).toBe(false);
    expect(store.atRest?.matches({ method: 'Google' })).toBe(false);
  });
});
