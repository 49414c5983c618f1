import { testHost } from '@keyframe/testkit';
import { describe, expect, test } from 'vitest';
import plugin from './index.ts';

const validate = async (options: unknown) => plugin.options['~standard'].validate(options);
const open = async (options: object) => {
  const read = await validate(options);
  if (read.issues !== undefined) throw new Error(JSON.stringify(read.issues));
  return plugin.create(read.value, testHost());
};

describe('options', () => {
  test('only the bucket is required', async () => {
    const read = await validate({ bucket: 'acme' });
    expect(read).toMatchObject({
      value: { bucket: 'acme', prefix: '', checksums: 'crc32', partMiB: 40, lockMode: 'compliance' },
    });
  });

  test.each([
    [{}, 'bucket'],
    [{ bucket: 's3://acme' }, 'bucket'],
    [{ bucket: 'acme', prefix: '/db' }, 'prefix'],
    [{ bucket: 'acme', prefix: 'a/../b' }, 'prefix'],
    [{ bucket: 'acme', endpoint: 'minio:9000' }, 'endpoint'],
    [{ bucket: 'acme', accessKeyId: 'a' }, 'secretAccessKey'],
    [{ bucket: 'acme', secretAccessKey: 'a' }, 'secretAccessKey'],
    [{ bucket: 'acme', sessionToken: 'a' }, 'sessionToken'],
    [{ bucket: 'acme', profile: 'p', accessKeyId: 'a', secretAccessKey: 'b' }, 'profile'],
    [{ bucket: 'acme', externalId: 'x' }, 'externalId'],
    [{ bucket: 'acme', webIdentityTokenFile: '/t' }, 'webIdentityTokenFile'],
    [{ bucket: 'acme', sse: { kind: 'customer', key: 'short' } }, 'sse'],
    [
      { bucket: 'acme', endpoint: 'http://minio', sse: { kind: 'customer', key: Buffer.alloc(32).toString('base64') } },
      'sse',
    ],
    [{ bucket: 'acme', partMiB: 4 }, 'partMiB'],
    [{ bucket: 'acme', certificateAuthority: '/etc/ca.pem' }, 'certificateAuthority'],
    [{ bucket: 'acme', acl: 'private' }, undefined],
  ])('%j is refused', async (options, path) => {
    const { issues } = await validate(options);
    expect(issues?.map((issue) => issue.path?.[0])).toEqual([path]);
  });

  test('keys are never printed', async () => {
    const secrets = { accessKeyId: 'AKIDPLAIN', secretAccessKey: 'plain-secret', sessionToken: 'plain-token' };
    const sse = { kind: 'customer', key: Buffer.alloc(32, 7).toString('base64') };
    const read = await validate({ bucket: 'acme', ...secrets, sse });
    const text = JSON.stringify(read);
    for (const secret of [...Object.values(secrets), sse.key]) expect(text).not.toContain(secret);
  });

  test('every option is described', () => {
    const schema = plugin.jsonSchema?.() as { properties: Record<string, { description?: string }> };
    expect(schema).toMatchObject({ additionalProperties: false, required: ['bucket'] });
    const silent = Object.entries(schema.properties).filter(([, { description }]) => description === undefined);
    expect(silent.map(([name]) => name)).toEqual([]);
  });
});

describe('without a request', () => {
  test('the store tells where it is', async () => {
    const aws = await open({
      bucket: 'acme',
      region: 'eu-central-1',
      roleArn: 'arn:aws:iam::123456789012:role/backup',
    });
    expect(aws.location).toEqual({
      provider: 'aws',
      account: '123456789012',
      region: 'eu-central-1',
      container: 'acme',
    });
    const minio = await open({ bucket: 'acme', endpoint: 'https://minio.example.com:9000/' });
    expect(minio.location).toEqual({ provider: 's3:minio.example.com:9000', container: 'acme' });
  });

  test('a key of MinIO, of KMS and an alias of it are told apart as far as names go', async () => {
    const wanting = async (key: string) => (await open({ bucket: 'acme', sse: { kind: 'kms', key } })).atRest;
    const arn = 'arn:aws:kms:eu-central-1:123456789012:key/1234';
    const found = { method: 'SSE-KMS', keyId: arn };
    for (const key of [arn, '1234', 'alias/backup']) expect((await wanting(key))?.matches(found)).toBe(true);
    for (const key of ['123', 'arn:aws:kms:eu-central-1:123456789012:key/5678'])
      expect((await wanting(key))?.matches(found)).toBe(false);
    expect((await wanting(arn))?.matches({ method: 'SSE-S3' })).toBe(false);
  });

  test.each(['writer', 'restorer', 'pruner', 'owner'] as const)(
    'the policy of a %s names its bucket and prefix only',
    async (role) => {
      const key = 'arn:aws:kms:eu-central-1:123456789012:key/1234';
      const store = await open({ bucket: 'acme', prefix: 'db', sse: { kind: 'kms', key } });
      const policy = JSON.parse(store.access?.policy(role).document ?? '') as {
        Statement: { Action: string[]; Resource: string | string[]; Condition?: object }[];
      };
      const actions = policy.Statement.flatMap(({ Action }) => Action);
      const resources = policy.Statement.flatMap(({ Resource }) => Resource);
      for (const resource of resources) expect(resource).toMatch(/^arn:aws:s3:::acme(\/db\/.*)?$|^arn:aws:kms:.*1234$/);
      expect(actions.filter((action) => action.includes('*') || action.includes('Bypass'))).toEqual([]);
      const removable = policy.Statement.filter(({ Action }) => Action.some((action) => action.includes('Delete')));
      const everywhere = removable.some(({ Resource }) => Resource === 'arn:aws:s3:::acme/db/*');
      expect(everywhere).toBe(role === 'pruner' || role === 'owner');
      expect(actions.some((action) => /Put|Delete|Abort|Generate/.test(action))).toBe(role !== 'restorer');
      expect(policy.Statement[0]?.Condition).toEqual({ StringLike: { 's3:prefix': ['db/*'] } });
    },
  );
});
