/** Every way to say who we are, against an emulation of STS; the store behind it asks nobody. @packageDocumentation */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { textOf } from '@keyframe/contracts/streams';
import { needs } from '@keyframe/testkit/postgres';
import { type RecordedRequest, startRecorder } from '@keyframe/testkit/proxy';
import { startMoto } from '@keyframe/testkit/servers';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { openStore } from './support.ts';

let directory = '';
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'kf-s3-'));
  // Nothing of the machine that runs the tests may answer.
  for (const name of Object.keys(process.env)) if (name.startsWith('AWS_')) vi.stubEnv(name, undefined);
  vi.stubEnv('AWS_CONFIG_FILE', join(directory, 'config'));
  vi.stubEnv('AWS_SHARED_CREDENTIALS_FILE', join(directory, 'credentials'));
  vi.stubEnv('AWS_EC2_METADATA_DISABLED', 'true');
});
afterEach(async () => {
  vi.unstubAllEnvs();
  await rm(directory, { recursive: true });
});

/** What a request said of who sent it. */
async function signedBy(options: Readonly<Record<string, unknown>>): Promise<{ key: string; token: string }> {
  const seen: RecordedRequest[] = [];
  await using recorder = await startRecorder((request) => {
    seen.push(request);
    return { status: 200, headers: { etag: '"1"' } };
  });
  const store = openStore({ bucket: 'acme', endpoint: recorder.url, conditionalWrites: 'trust', ...options });
  await store.put('a', textOf('x'));
  await store.close?.();
  const { headers } = seen[0] ?? {};
  const authorization = String(headers?.['authorization']);
  return {
    key: /Credential=([^/]+)/.exec(authorization)?.[1] ?? '',
    token: String(headers?.['x-amz-security-token'] ?? ''),
  };
}

test('the environment, a profile and options are each taken', async () => {
  await writeFile(
    join(directory, 'credentials'),
    '[backup]\naws_access_key_id = FROMFILE\naws_secret_access_key = s\n',
  );
  expect(await signedBy({ profile: 'backup' })).toEqual({ key: 'FROMFILE', token: '' });
  vi.stubEnv('AWS_ACCESS_KEY_ID', 'FROMENV');
  vi.stubEnv('AWS_SECRET_ACCESS_KEY', 's');
  expect(await signedBy({})).toEqual({ key: 'FROMENV', token: '' });
  const keys = { accessKeyId: 'FROMFILE2', secretAccessKey: 's', sessionToken: 'session' };
  expect(await signedBy(keys)).toEqual({ key: 'FROMFILE2', token: 'session' });
});

test('without any it is said what to set', async () => {
  await expect(signedBy({})).rejects.toMatchObject({
    code: 'ACCESS_DENIED',
    hint: expect.stringContaining('accessKeyId'),
  });
});

test('emulated: a role is taken on with a key, with a web identity, and by the environment of EKS', async (context) => {
  await needs(context, 'moto');
  await using sts = await startMoto();
  vi.stubEnv('AWS_ENDPOINT_URL_STS', sts.endpoint);
  vi.stubEnv('AWS_REGION', 'us-east-1');
  const roleArn = 'arn:aws:iam::123456789012:role/backup';
  const token = join(directory, 'token');
  await writeFile(token, 'a.b.c');
  const taken = [
    await signedBy({ roleArn, externalId: 'ours', accessKeyId: 'AKIDTEST', secretAccessKey: 's', region: 'us-east-1' }),
    await signedBy({ roleArn, webIdentityTokenFile: token, region: 'us-east-1' }),
  ];
  vi.stubEnv('AWS_WEB_IDENTITY_TOKEN_FILE', token);
  vi.stubEnv('AWS_ROLE_ARN', roleArn);
  taken.push(await signedBy({ region: 'us-east-1' }));
  for (const { key, token: session } of taken) {
    expect(key).toMatch(/^ASIA/);
    expect(session).not.toBe('');
  }
});
