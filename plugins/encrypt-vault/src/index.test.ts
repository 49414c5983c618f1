import { describeContract, encryptorCases, testHost } from '@keyframe/testkit';
import type { Encryptor } from '@keyframe/contracts';
import { describe, expect, it, test } from 'vitest';
import plugin from './index.ts';
import { createTransit, type Transit } from './transit.fixture.ts';

const validate = async (options: unknown) => plugin.options['~standard'].validate(options);
const ADDRESS = 'https://vault.example.com:8200/';
const make = async (options: object, transit: Transit = createTransit()): Promise<Encryptor> => {
  const result = await validate({ address: ADDRESS, key: 'backups', token: 'root', ...options });
  if (result.issues !== undefined) throw new Error(JSON.stringify(result.issues));
  return plugin.create(result.value, testHost({ fetch: transit.fetch }));
};
const approle = { token: undefined, appRole: { roleId: 'role', secretId: 'secret\n' } };
const key = Buffer.alloc(32, 7);

describe('emulated', () => {
  describeContract({ describe, it }, 'encrypt-vault', encryptorCases, () => make({}));
  describeContract({ describe, it }, 'encrypt-vault with an RSA key', encryptorCases, () => {
    const transit = createTransit();
    return make({ key: 'rsa', publicKey: transit.publicKey }, transit);
  });
  describeContract({ describe, it }, 'encrypt-vault that only writes', encryptorCases, () =>
    make({ token: undefined, key: 'rsa', publicKey: createTransit().publicKey, decrypt: false }),
  );

  test('a namespace and another mount are asked for, and a missing key is denied', async () => {
    const transit = createTransit();
    const encryptor = await make({ namespace: 'team', mount: 'kv/transit' }, transit);
    expect(encryptor.keyId).toBe('https://vault.example.com:8200/team/kv/transit/backups');
    await expect(encryptor.wrap(key)).rejects.toMatchObject({ code: 'ACCESS_DENIED' });
    expect(transit.requests).toEqual(['POST team/v1/kv/transit/encrypt/backups']);
  });

  test.each([approle, { token: undefined, kubernetes: { role: 'role', jwt: 'jwt' } }])(
    'a login is had once, and again when its token is revoked: %j',
    async (login) => {
      const transit = createTransit();
      const encryptor = await make(login, transit);
      const wrapped = await encryptor.wrap(key);
      expect(Buffer.from(await encryptor.unwrap(wrapped))).toEqual(key);
      expect(transit.requests).toHaveLength(3);
      transit.revokeTokens();
      expect(Buffer.from(await encryptor.unwrap(wrapped))).toEqual(key);
      expect(transit.requests).toHaveLength(6);
    },
  );

  test('a login or token that is refused is denied', async () => {
    const denied = { code: 'ACCESS_DENIED' };
    await expect((await make({ token: 'other' })).wrap(key)).rejects.toMatchObject(denied);
    const wrong = { token: undefined, appRole: { roleId: 'role', secretId: 'wrong' } };
    await expect((await make(wrong)).wrap(key)).rejects.toMatchObject(denied);
  });

  test('a sealed server and none at all are unavailable', async () => {
    const transit = createTransit();
    const encryptor = await make({}, transit);
    for (const state of ['sealed', 'away'] as const) {
      transit.state = state;
      await expect(encryptor.wrap(key)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    }
  });
});

test.each([
  [{ key: 'backups', token: 'x' }, 'address'],
  [{ address: ADDRESS, key: 'backups' }, 'token'],
  [{ address: ADDRESS, key: 'backups', ...approle, token: 'x' }, 'token'],
  [{ address: ADDRESS, key: '/backups', token: 'x' }, 'key'],
  [{ address: ADDRESS, key: 'backups', token: 'x', transit: 'x' }, undefined],
])('the options %j are refused', async (options, path) => {
  expect((await validate(options)).issues?.map((issue) => issue.path?.[0])).toEqual([path]);
});

test('a token is kept as a secret', async () => {
  expect(JSON.stringify(await validate({ address: ADDRESS, key: 'backups', token: 'hush' }))).not.toContain('hush');
});
