/** Tokens of Microsoft Entra. No server here checks them, so they are recorded. */
import { testHost } from '@keyframe/testkit';
import { type OwnAnswer, type RecordedRequest, type Recorder, startRecorder } from '@keyframe/testkit/proxy';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest';
import { createAzureStore } from '../src/azure-store.ts';
import { optionsOf } from './options.ts';

let recorder: Recorder;
let token: (request: RecordedRequest) => OwnAnswer;

/** The library keeps the address it was told first, so one recorder serves all. */
beforeAll(async () => {
  recorder = await startRecorder((request) =>
    request.path === '/msi' ? token(request) : { status: 200, headers: { etag: '"0x1"' } },
  );
});
afterAll(() => recorder.stop());
beforeEach(() => {
  token = () => ({
    status: 200,
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({
      access_token: 'for-this-host',
      expires_on: String(Date.now() / 1000 + 7200),
      token_type: 'Bearer',
    }),
  });
  // As App Service, Functions and Container Apps tell it.
  vi.stubEnv('IDENTITY_ENDPOINT', `${recorder.url}/msi`);
  vi.stubEnv('IDENTITY_HEADER', 'secret-of-the-host');
});
afterEach(() => {
  vi.unstubAllEnvs();
});

const open = (auth: 'managed-identity' | 'environment' | 'cli', clientId?: string) =>
  createAzureStore(
    optionsOf({ endpoint: `${recorder.url}/devstoreaccount1`, accountKey: undefined, auth, clientId }),
    testHost(),
  );

describe('recorded: tokens', () => {
  it('a managed identity is asked once for all requests', async () => {
    const store = open('managed-identity', 'the-client');
    await Promise.all([store.stat('a'), store.stat('b')]);
    await store.stat('c');
    const asked = recorder.requests.filter(({ path }) => path === '/msi');
    expect(asked.map(({ query }) => [query['resource'], query['client_id']])).toEqual([
      ['https://storage.azure.com', 'the-client'],
    ]);
    expect(recorder.requests.filter(({ path }) => path !== '/msi').map(({ headers }) => headers.authorization)).toEqual(
      ['Bearer for-this-host', 'Bearer for-this-host', 'Bearer for-this-host'],
    );
  });

  it('none at all is ACCESS_DENIED, with what can be set', async () => {
    for (const auth of ['environment', 'cli'] as const) {
      vi.stubEnv('PATH', '/nowhere');
      await expect(open(auth).stat('a')).rejects.toMatchObject({
        code: 'ACCESS_DENIED',
        hint: expect.stringContaining('`auth`') as string,
      });
    }
  });

  it('an abort ends the wait for one', async () => {
    const abort = new AbortController();
    token = () => {
      abort.abort(new Error('enough'));
      return { status: 400 };
    };
    await expect(open('managed-identity').stat('a', { signal: abort.signal })).rejects.toThrow('enough');
  });
});
