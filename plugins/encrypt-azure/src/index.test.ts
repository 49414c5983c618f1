import type { Encryptor } from '@keyframe/contracts';
import { describeContract, encryptorCases } from '@keyframe/testkit';
import { describe, expect, it, test } from 'vitest';
import { type AzureKeyOptions, createAzureEncryptor } from './azure.ts';
import plugin from './index.ts';
import { createKeyVault, KEY, type KeyVault, VERSION } from './key-vault.fixture.ts';

const validate = async (options: unknown) => plugin.options['~standard'].validate(options);
const make = (changed: Partial<AzureKeyOptions> = {}, vault: KeyVault = createKeyVault()): Encryptor => {
  const none = { publicKey: undefined, tenantId: undefined, clientId: undefined, clientSecret: undefined };
  return createAzureEncryptor({ ...none, key: KEY, decrypt: true, ...changed }, vault, async () => 't');
};
const local = ({ publicKey }: KeyVault): Partial<AzureKeyOptions> => ({ key: `${KEY}/${VERSION}`, publicKey });
const key = Buffer.alloc(32, 7);

describe('emulated', () => {
  describeContract({ describe, it }, 'encrypt-azure', encryptorCases, () => make());
  describeContract({ describe, it }, 'encrypt-azure with a public key', encryptorCases, () => {
    const vault = createKeyVault();
    return make(local(vault), vault);
  });
  describeContract({ describe, it }, 'encrypt-azure that only writes', encryptorCases, () =>
    make({ ...local(createKeyVault()), decrypt: false }),
  );

  test('what a public key wrapped the vault opens, whichever version is the newest', async () => {
    const vault = createKeyVault();
    vault.state = 'away';
    const wrapped = await make(local(vault), vault).wrap(key);
    vault.state = 'open';
    expect(Buffer.from(await make({}, vault).unwrap(wrapped))).toEqual(key);
    await expect(make({ key: `${KEY}-other` }, vault).unwrap(wrapped)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
  });

  test.each([
    ['disabled', 'ACCESS_DENIED', 'disabled or out of its time'],
    ['denied', 'ACCESS_DENIED', 'refuses unwrapkey'],
    ['away', 'UNAVAILABLE', 'cannot be reached'],
    ['busy', 'UNAVAILABLE', 'cannot be reached'],
  ] as const)('%s: %s', async (state, code, message) => {
    const vault = createKeyVault();
    const wrapped = await make({}, vault).wrap(key);
    vault.state = state;
    await expect(make({}, vault).unwrap(wrapped)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
    });
  });
});

test.each([
  [{}, 'key'],
  [{ key: 'https://acme.vault.azure.net/secrets/x' }, 'key'],
  [{ key: KEY, publicKey: '-----BEGIN PUBLIC KEY-----' }, 'key'],
  [{ key: KEY, clientSecret: 'x' }, 'clientSecret'],
  [{ key: KEY, vault: 'acme' }, undefined],
])('the options %j are refused', async (options, path) => {
  expect((await validate(options)).issues?.map((issue) => issue.path?.[0])).toEqual([path]);
});

test('a client secret is kept as a secret', async () => {
  const options = { key: KEY, tenantId: 't', clientId: 'c', clientSecret: 'hush' };
  expect(JSON.stringify(await validate(options))).not.toContain('hush');
});
