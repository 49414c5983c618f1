/** Against two emulations, since each is true in other places: what neither has is not proven here. @packageDocumentation */
import { createPublicKey } from 'node:crypto';
import { CreateKeyCommand, DisableKeyCommand, GetPublicKeyCommand, KMSClient } from '@aws-sdk/client-kms';
import { type Encryptor, Secret } from '@keyframe/contracts';
import { describeContract, encryptorCases, testHost } from '@keyframe/testkit';
import { missing, needs } from '@keyframe/testkit/postgres';
import { type S3Server, startMinistack, startMoto } from '@keyframe/testkit/servers';
import { afterAll, describe, expect, it, test } from 'vitest';
import type { AwsKmsOptions } from '../src/aws-kms.ts';
import plugin from '../src/index.ts';

const EMULATIONS = [
  // Its RSA keys open only what it has encrypted itself, and a disabled key goes on.
  { name: 'moto', start: startMoto, disables: false, authenticates: true, opensRsa: false },
  // It takes a symmetric ciphertext that was changed or cut, and one of another key.
  { name: 'ministack', start: startMinistack, disables: true, authenticates: false, opensRsa: true },
] as const;

describe.each(EMULATIONS)('emulated by $name', async ({ name, start, disables, authenticates, opensRsa }) => {
  const reason = await missing(name);
  test('it is there', async (context) => {
    await needs(context, name);
    expect(reason).toBeUndefined();
  });
  if (reason !== undefined) return;
  const server: S3Server = await start();
  const { endpoint, credentials } = server;
  const admin = new KMSClient({ endpoint, credentials, region: 'us-east-1' });
  afterAll(async () => {
    admin.destroy();
    await server.stop();
  });
  const makeKey = async (spec: 'SYMMETRIC_DEFAULT' | 'RSA_2048'): Promise<string> =>
    (await admin.send(new CreateKeyCommand({ KeySpec: spec, KeyUsage: 'ENCRYPT_DECRYPT' }))).KeyMetadata?.Arn ?? '';
  const make = (key: string, changed: Partial<AwsKmsOptions> = {}): Encryptor => {
    const [accessKeyId, secretAccessKey] = [credentials.accessKeyId, credentials.secretAccessKey].map(
      (text) => new Secret(text),
    );
    const none = { publicKey: undefined, region: undefined, profile: undefined, sessionToken: undefined };
    const options = { ...none, key, context: {}, decrypt: true, endpoint, accessKeyId, secretAccessKey, ...changed };
    return plugin.create(options, testHost());
  };
  const [symmetric, rsa] = [await makeKey('SYMMETRIC_DEFAULT'), await makeKey('RSA_2048')];
  const { PublicKey = Buffer.of() } = await admin.send(new GetPublicKeyCommand({ KeyId: rsa }));
  const der = Buffer.from(PublicKey);
  const publicKey = createPublicKey({ key: der, format: 'der', type: 'spki' }).export({ type: 'spki', format: 'pem' });
  const rsaOptions = { publicKey: String(publicKey) };

  const unproven = authenticates ? /^$/ : /^a flipped bit|^a wrapping that was cut/;
  const cases = encryptorCases.filter((each) => !unproven.test(each.name));
  describeContract({ describe, it }, 'encrypt-aws-kms with a symmetric key', cases, () => make(symmetric));
  if (opensRsa)
    describeContract({ describe, it }, 'encrypt-aws-kms with an RSA key', encryptorCases, () => make(rsa, rsaOptions));

  test.skipIf(!authenticates)('another context, another key and no key are denied', async () => {
    const wrapped = await make(symmetric, { context: { team: 'a' } }).wrap(Buffer.alloc(32, 7));
    const other = await makeKey('SYMMETRIC_DEFAULT');
    const denied = expect.objectContaining({ code: 'ACCESS_DENIED', hint: expect.stringContaining('key') });
    await expect(make(symmetric, { context: { team: 'b' } }).unwrap(wrapped)).rejects.toEqual(denied);
    await expect(make(other, { context: { team: 'a' } }).unwrap(wrapped)).rejects.toEqual(denied);
    await expect(make(symmetric.replace(/.{12}$/, '000000000000')).wrap(Buffer.alloc(32))).rejects.toEqual(denied);
  });

  test.skipIf(!disables)('a disabled key is denied', async () => {
    const key = await makeKey('SYMMETRIC_DEFAULT');
    const wrapped = await make(key).wrap(Buffer.alloc(32, 7));
    await admin.send(new DisableKeyCommand({ KeyId: key }));
    const denied = expect.objectContaining({ code: 'ACCESS_DENIED', message: expect.stringContaining('disabled') });
    await expect(make(key).unwrap(wrapped)).rejects.toEqual(denied);
  });

  test('a service that is not there is unavailable, and a public key wraps all the same', async () => {
    const away = { endpoint: 'http://127.0.0.1:1' };
    await expect(make(symmetric, away).wrap(Buffer.alloc(32))).rejects.toMatchObject({ code: 'UNAVAILABLE' });
    const wrapped = await make(rsa, { ...rsaOptions, ...away }).wrap(Buffer.alloc(32, 7));
    await expect(make(rsa, { ...rsaOptions, ...away }).unwrap(wrapped)).rejects.toMatchObject({ code: 'UNAVAILABLE' });
  });
});
