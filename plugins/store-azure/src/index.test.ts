import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { Secret } from '@keyframe/contracts';
import { testHost } from '@keyframe/testkit';
import { describe, expect, it, test } from 'vitest';
import { accountOf } from './account.ts';
import plugin from './index.ts';
import type { AzureOptions } from './options.ts';
import { elements, escaped, textIn } from './xml.ts';

const validate = async (options: unknown) => plugin.options['~standard'].validate(options);
const KEY = Buffer.alloc(32, 1).toString('base64');

async function optionsOf(given: object): Promise<AzureOptions> {
  const result = await validate({ account: 'acme', container: 'db', ...given });
  if (result.issues !== undefined) throw new Error(JSON.stringify(result.issues));
  return result.value;
}

describe('options', () => {
  test('account and container are required', async () => {
    expect(await optionsOf({ container: 'backups' })).toEqual({
      account: 'acme',
      container: 'backups',
      prefix: '',
      auth: 'default',
      retentionMode: 'locked',
      partMiB: 8,
      parallelParts: 2,
      connections: 32,
      connectTimeoutSeconds: 10,
      stallTimeoutSeconds: 30,
    });
  });

  test.each([
    [{ container: 'backups' }, 'account'],
    [{ account: 'acme' }, 'container'],
    [{ account: 'Acme!', container: 'backups' }, 'account'],
    [{ account: 'acme', container: 'Back_ups' }, 'container'],
    [{ account: 'acme', container: 'backups', accountKey: 'a', sas: 'b' }, 'sas'],
    [{ account: 'acme', container: 'backups', auth: 'client-secret', tenantId: 't' }, 'auth'],
    [{ account: 'acme', container: 'backups', auth: 'client-certificate' }, 'auth'],
    [{ account: 'acme', container: 'backups', auth: 'magic' }, 'auth'],
    [{ account: 'acme', container: 'backups', encryptionScope: 'vault', encryptionKey: KEY }, 'encryptionKey'],
    [{ account: 'acme', container: 'backups', management: { subscription: 's' } }, 'management'],
    [{ account: 'acme', container: 'backups', bucket: 'x' }, undefined],
  ])('%j is refused', async (options, path) => {
    const { issues } = await validate(options);
    expect(issues?.map((issue) => issue.path?.[0])).toEqual([path]);
  });

  test('the JSON Schema allows what the options allow', () => {
    expect(plugin.jsonSchema?.()).toMatchObject({ additionalProperties: false, required: ['container'] });
  });
});

describe('an account', () => {
  it.each([
    [
      'DefaultEndpointsProtocol=https;AccountName=acme;AccountKey=a2V5==;EndpointSuffix=core.chinacloudapi.cn',
      { name: 'acme', endpoint: 'https://acme.blob.core.chinacloudapi.cn', key: 'a2V5==', sas: undefined },
    ],
    [
      'BlobEndpoint=https://acme.blob.core.windows.net/;SharedAccessSignature=?sv=1&sig=a%3D',
      { name: 'acme', endpoint: 'https://acme.blob.core.windows.net', key: undefined, sas: 'sv=1&sig=a%3D' },
    ],
  ])('is read from %s', (text, expected) => {
    const { name, endpoint, key, sas } = accountOf({ connectionString: new Secret(text) });
    expect({ name, endpoint, key: key?.reveal(), sas: sas?.reveal() }).toEqual(expected);
  });

  it('that a connection string does not name is INVALID_OPTION', () => {
    const open = () => accountOf({ connectionString: new Secret('AccountKey=x') });
    expect(open).toThrow(expect.objectContaining({ code: 'INVALID_OPTION' }) as Error);
  });
});

describe('XML', () => {
  it('is read with its entities and written without any', () => {
    const text = '<A><B x="1">a &amp;amp; &lt;b&gt; &#x20AC;&#65;&quot;&apos;</B><B/><B>2</B></A>';
    expect(textIn(text, 'B')).toBe('a &amp; <b> €A"\'');
    expect(elements(text, 'B')).toHaveLength(2);
    expect(textIn(text, 'C')).toBeUndefined();
    expect(textIn(`<K>${escaped('a<b>&c')}</K>`, 'K')).toBe('a<b>&c');
  });
});

describe('the rights', () => {
  it('of each role are a script that a shell takes', async () => {
    const { access, location } = plugin.create(
      await optionsOf({ container: 'backups', region: 'WestEurope' }),
      testHost(),
    );
    expect(location).toEqual({ provider: 'azure', account: 'acme', region: 'westeurope', container: 'backups' });
    for (const role of ['writer', 'restorer', 'pruner', 'owner'] as const) {
      const { document } = access?.policy(role) ?? { document: '' };
      await promisify(execFile)('sh', ['-n', '-c', document]);
      expect(document.includes('blobs/delete')).toBe(role !== 'restorer');
      expect(document.includes("StringLike 'leases/*'")).toBe(role === 'writer');
      expect(document.includes('blobs/write')).toBe(role === 'owner');
    }
  });
});
