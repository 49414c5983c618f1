import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Secret } from '@keyframe/contracts';
import { testHost } from '@keyframe/testkit';
import { describe, expect, it, test } from 'vitest';
import plugin from './index.ts';
import type { GcsOptions } from './options.ts';

const validate = async (options: unknown) => plugin.options['~standard'].validate(options);
const KEY = Buffer.alloc(32, 1).toString('base64');

async function optionsOf(given: object): Promise<GcsOptions> {
  const result = await validate({ bucket: 'acme-backups', ...given });
  if (result.issues !== undefined) throw new Error(JSON.stringify(result.issues));
  return result.value;
}

describe('options', () => {
  test('only the bucket is required', async () => {
    expect(await optionsOf({})).toEqual({
      bucket: 'acme-backups',
      prefix: '',
      endpoint: 'https://storage.googleapis.com',
      auth: 'default',
      retentionMode: 'Locked',
      partMiB: 8,
      connections: 32,
      connectTimeoutSeconds: 10,
      stallTimeoutSeconds: 30,
    });
  });

  test('a prefix ends in a slash, an endpoint does not, and secrets do not print', async () => {
    const options = await optionsOf({ prefix: 'db', endpoint: 'http://127.0.0.1:1/', encryptionKey: KEY });
    expect([options.prefix, options.endpoint]).toEqual(['db/', 'http://127.0.0.1:1']);
    expect(options.encryptionKey).toBeInstanceOf(Secret);
    expect(JSON.stringify(options)).not.toContain(KEY);
  });

  test.each([
    [{}, 'bucket'],
    [{ bucket: 'gs://x' }, 'bucket'],
    [{ bucket: 'acme', prefix: '/db' }, 'prefix'],
    [{ bucket: 'acme', prefix: 'a/../b' }, 'prefix'],
    [{ bucket: 'acme', endpoint: 'storage.googleapis.com' }, 'endpoint'],
    [{ bucket: 'acme', kmsKey: 'my-key' }, 'kmsKey'],
    [{ bucket: 'acme', encryptionKey: 'c2hvcnQ=' }, 'encryptionKey'],
    [{ bucket: 'acme', keyFile: '/a', credentials: '{}' }, 'credentials'],
    [{ bucket: 'acme', encryptionKey: KEY, kmsKey: 'projects/p/locations/l/keyRings/r/cryptoKeys/k' }, 'encryptionKey'],
    [{ bucket: 'acme', region: '' }, 'region'],
    [{ bucket: 'acme', buckets: 'x' }, undefined],
  ])('%j is refused', async (options, path) => {
    const { issues } = await validate(options);
    expect(issues?.map((issue) => issue.path?.[0])).toEqual([path]);
  });

  test('the JSON Schema allows what the options allow', () => {
    expect(plugin.jsonSchema?.()).toMatchObject({ additionalProperties: false, required: ['bucket'] });
  });
});

describe('the rights', () => {
  it('of each role are a script that a shell takes, for objects under the prefix only', async () => {
    const { access, location } = plugin.create(
      await optionsOf({ prefix: 'db', project: 'p', region: 'EU' }),
      testHost(),
    );
    expect(location).toEqual({ provider: 'gcp', account: 'p', region: 'eu', container: 'acme-backups' });
    for (const role of ['writer', 'restorer', 'pruner', 'owner'] as const) {
      const { document } = access?.policy(role) ?? { document: '' };
      await promisify(execFile)('sh', ['-n', '-c', document]);
      expect(document).toContain('projects/_/buckets/acme-backups/objects/db/');
      const whole = document.split('\n')[0] ?? '';
      expect(whole.includes('storage.objects.delete')).toBe(role === 'pruner' || role === 'owner');
      expect(document.includes('objects/db/leases/')).toBe(role === 'writer');
      expect(document.includes('storage.objects.create')).toBe(role !== 'restorer');
    }
  });
});
