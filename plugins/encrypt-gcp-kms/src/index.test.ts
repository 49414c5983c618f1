import type { Encryptor } from '@keyframe/contracts';
import { describeContract, encryptorCases } from '@keyframe/testkit';
import { describe, expect, it, test } from 'vitest';
import { type CloudKms, createCloudKms, RING } from './cloud-kms.fixture.ts';
import { crc32c } from './crc32c.ts';
import { createGcpKmsEncryptor, type GcpKmsOptions } from './gcp-kms.ts';
import plugin from './index.ts';

const validate = async (options: unknown) => plugin.options['~standard'].validate(options);
const make = (changed: Partial<GcpKmsOptions> = {}, kms: CloudKms = createCloudKms()): Encryptor => {
  const none = { publicKey: undefined, credentials: undefined };
  const options = { ...none, key: `${RING}/backups`, context: 'keyframe', decrypt: true, endpoint: 'https://kms' };
  return createGcpKmsEncryptor({ ...options, ...changed }, kms, async () => ({ authorization: 'Bearer t' }));
};
const rsa = (kms: CloudKms): Partial<GcpKmsOptions> => ({
  key: `${RING}/rsa/cryptoKeyVersions/1`,
  publicKey: kms.publicKey,
});
const key = Buffer.alloc(32, 7);

test('the checksum is CRC-32C', () => {
  expect(crc32c(Buffer.from('123456789'))).toBe(String(0xe3_06_92_83));
});

describe('emulated', () => {
  describeContract({ describe, it }, 'encrypt-gcp-kms', encryptorCases, () => make());
  describeContract({ describe, it }, 'encrypt-gcp-kms with an RSA key', encryptorCases, () => {
    const kms = createCloudKms();
    return make(rsa(kms), kms);
  });
  describeContract({ describe, it }, 'encrypt-gcp-kms that only writes', encryptorCases, () =>
    make({ ...rsa(createCloudKms()), decrypt: false }),
  );

  test('another context and a key that is not there are denied', async () => {
    const kms = createCloudKms();
    const wrapped = await make({}, kms).wrap(key);
    const denied = { code: 'ACCESS_DENIED' };
    await expect(make({ context: 'other' }, kms).unwrap(wrapped)).rejects.toMatchObject(denied);
    await expect(make({ key: `${RING}/other` }, kms).unwrap(wrapped)).rejects.toMatchObject(denied);
  });

  test.each([
    ['disabled', 'ACCESS_DENIED', 'disabled or destroyed'],
    ['denied', 'ACCESS_DENIED', 'refuses decrypt'],
    ['away', 'UNAVAILABLE', 'cannot be reached'],
    ['garbles', 'UNAVAILABLE', 'changed on the way'],
  ] as const)('%s: %s', async (state, code, message) => {
    const kms = createCloudKms();
    const wrapped = await make({}, kms).wrap(key);
    kms.state = state;
    await expect(make({}, kms).unwrap(wrapped)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(message) as string,
    });
  });
});

test.each([
  [{}, 'key'],
  [{ key: 'backups' }, 'key'],
  [{ key: `${RING}/rsa/cryptoKeyVersions/1` }, 'key'],
  [{ key: `${RING}/backups`, project: 'p' }, undefined],
])('the options %j are refused', async (options, path) => {
  expect((await validate(options)).issues?.map((issue) => issue.path?.[0])).toEqual([path]);
});

test('credentials are kept as a secret', async () => {
  expect(JSON.stringify(await validate({ key: `${RING}/backups`, credentials: 'hush' }))).not.toContain('hush');
});
