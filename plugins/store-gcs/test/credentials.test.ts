/** Who the requests say we are. No server here checks it, so it is recorded. */
import { generateKeyPairSync, verify } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { Secret } from '@keyframe/contracts';
import { testHost } from '@keyframe/testkit';
import { type RecordedRequest, type Recorder, startRecorder } from '@keyframe/testkit/proxy';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createGcsStore } from '../src/gcs-store.ts';
import type { GcsOptions } from '../src/options.ts';
import { optionsOf } from './options.ts';

const { privateKey, publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
const SERVICE_ACCOUNT = {
  type: 'service_account',
  project_id: 'p',
  private_key_id: 'id',
  private_key: privateKey.export({ type: 'pkcs8', format: 'pem' }),
  client_email: 'keyframe@p.iam.gserviceaccount.com',
};

let directory = '';
let recorder: Recorder;
let answer = (request: RecordedRequest) => ({
  status: 200,
  body: JSON.stringify(
    request.path === '/token' ? { access_token: 'exchanged', token_type: 'Bearer', expires_in: 3600 } : { name: 'a' },
  ),
});
const usual = answer;

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'kf-gcs-'));
  answer = usual;
  recorder = await startRecorder((request) => answer(request));
});
afterEach(async () => {
  await recorder.stop();
  await rm(directory, { recursive: true, force: true });
});

const stat = (changed: Partial<GcsOptions>) =>
  createGcsStore(optionsOf({ endpoint: recorder.url, auth: 'default', ...changed }), testHost()).stat('a');

describe('recorded: credentials', () => {
  it.each(['text', 'file'])('a service account key as a %s signs its tokens itself', async (how) => {
    const text = JSON.stringify(SERVICE_ACCOUNT);
    const keyFile = path.join(directory, 'key.json');
    await writeFile(keyFile, text);
    await stat(how === 'text' ? { credentials: new Secret(text) } : { keyFile });
    expect(recorder.requests).toHaveLength(1);
    const token = recorder.requests[0]?.headers.authorization?.replace('Bearer ', '') ?? '';
    const [head = '', claims = '', signature = ''] = token.split('.');
    expect(verify('sha256', Buffer.from(`${head}.${claims}`), publicKey, Buffer.from(signature, 'base64url'))).toBe(
      true,
    );
    expect(JSON.parse(Buffer.from(claims, 'base64url').toString())).toMatchObject({
      iss: SERVICE_ACCOUNT.client_email,
      scope: 'https://www.googleapis.com/auth/devstorage.full_control',
    });
  });

  it('a workload’s own token is exchanged for one of Google, once', async () => {
    const file = path.join(directory, 'workload-token');
    await writeFile(file, 'from-kubernetes');
    const external = {
      type: 'external_account',
      audience: '//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/a/providers/b',
      subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
      token_url: `${recorder.url}/token`,
      credential_source: { file },
    };
    const options = { credentials: new Secret(JSON.stringify(external)) };
    const store = createGcsStore(optionsOf({ endpoint: recorder.url, auth: 'default', ...options }), testHost());
    await Promise.all([store.stat('a'), store.stat('a')]);
    const exchanges = recorder.requests.filter(({ path: at }) => at === '/token');
    expect(exchanges.map(({ body }) => new URLSearchParams(body).get('subject_token'))).toEqual(['from-kubernetes']);
    expect(recorder.requests.at(-1)?.headers.authorization).toBe('Bearer exchanged');
  });

  it('a token service that is down is UNAVAILABLE, one that refuses is ACCESS_DENIED', async () => {
    const file = path.join(directory, 'workload-token');
    await writeFile(file, 'from-kubernetes');
    const external = (token_url: string) =>
      new Secret(
        JSON.stringify({
          type: 'external_account',
          audience: 'a',
          subject_token_type: 'urn:ietf:params:oauth:token-type:jwt',
          token_url,
          credential_source: { file },
        }),
      );
    await expect(stat({ credentials: external('http://127.0.0.1:1/token') })).rejects.toMatchObject({
      code: 'UNAVAILABLE',
    });
    answer = () => ({
      status: 400,
      body: JSON.stringify({ error: 'invalid_grant', error_description: 'no such pool' }),
    });
    await expect(stat({ credentials: external(`${recorder.url}/token`) })).rejects.toMatchObject({
      code: 'ACCESS_DENIED',
    });
  });

  it.each([
    [{ credentials: new Secret('{"private_key": "very secret"') }, 'INVALID_OPTION'],
    [{ credentials: new Secret('{"type":"toast","private_key":"very secret"}') }, 'INVALID_OPTION'],
    [{ keyFile: '/no/such/file.json' }, 'ACCESS_DENIED'],
  ])('unusable ones (%#) are told without their text', async (changed, code) => {
    const error: unknown = await stat(changed).catch((fault: unknown) => fault);
    expect(error).toMatchObject({ code });
    expect(JSON.stringify([String(error), (error as { hint?: string }).hint])).not.toContain('very secret');
  });

  it('a clock that is off is told by the date of the refusal', async () => {
    answer = () => ({ status: 401, headers: { date: 'Tue, 01 Jan 2030 00:00:00 GMT' }, body: '{}' });
    await expect(stat({ auth: 'anonymous' })).rejects.toMatchObject({
      code: 'ACCESS_DENIED',
      hint: expect.stringContaining('timedatectl') as string,
    });
  });
});
