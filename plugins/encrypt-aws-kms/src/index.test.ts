import { constants, generateKeyPairSync, privateDecrypt } from 'node:crypto';
import { describeContract, encryptorCases, testHost } from '@keyframe/testkit';
import { describe, expect, it, test } from 'vitest';
import type { AwsKmsOptions } from './aws-kms.ts';
import plugin from './index.ts';

const validate = async (options: unknown) => plugin.options['~standard'].validate(options);
const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const pem = publicKey.export({ type: 'spki', format: 'pem' });
const parsed = async (options: object): Promise<AwsKmsOptions> => {
  const result = await validate(options);
  if (result.issues !== undefined) throw new Error(JSON.stringify(result.issues));
  return result.value;
};
const writer = async () =>
  plugin.create(await parsed({ key: 'alias/backups', publicKey: pem, decrypt: false }), testHost());

describeContract({ describe, it }, 'encrypt-aws-kms that only writes', encryptorCases, writer);

test('with a public key wrapping asks nobody, and makes what RSAES_OAEP_SHA_256 of the service opens', async () => {
  const wrapped = Buffer.from(await (await writer()).wrap(Buffer.alloc(32, 7)));
  const padding = constants.RSA_PKCS1_OAEP_PADDING;
  expect(privateDecrypt({ key: privateKey, padding, oaepHash: 'sha256' }, wrapped.subarray(1))).toEqual(
    Buffer.alloc(32, 7),
  );
});

test.each([
  [{}, 'key'],
  [{ key: 'backups' }, 'key'],
  [{ key: 'alias/backups', publicKey: 'ssh-rsa AAAA' }, 'publicKey'],
  [{ key: 'alias/backups', context: { a: 1 } }, 'context'],
  [{ key: 'alias/backups', alias: 'x' }, undefined],
])('the options %j are refused', async (options, path) => {
  expect((await validate(options)).issues?.map((issue) => issue.path?.[0])).toEqual([path]);
});

test('secrets are kept as such', async () => {
  const result = await validate({ key: 'alias/backups', accessKeyId: 'AKIA', secretAccessKey: 'hush' });
  expect(JSON.stringify(result)).not.toContain('hush');
});
