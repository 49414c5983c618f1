/** A small Key Vault that really encrypts, for tests: paths, fields and errors as the REST reference has them. @packageDocumentation */
import { constants, generateKeyPairSync, privateDecrypt, publicEncrypt } from 'node:crypto';

/** What tests set and see. */
export interface KeyVault {
  readonly fetch: typeof globalThis.fetch;
  readonly publicKey: string;
  state: 'open' | 'disabled' | 'denied' | 'away' | 'busy';
}

export const KEY = 'https://acme.vault.azure.net/keys/backups';
export const VERSION = '0123456789abcdef0123456789abcdef';

const wrong = (status: number, code: string, message: string): Response =>
  Response.json({ error: { code, message } }, { status });

/** Knows one version of the key `backups`. */
export function createKeyVault(): KeyVault {
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const how = { padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' };
  const vault: KeyVault = {
    publicKey: String(publicKey.export({ type: 'spki', format: 'pem' })),
    state: 'open',
    fetch: async (input, init = {}) => {
      init.signal?.throwIfAborted();
      const refusal = refusalIn(vault.state);
      if (refusal !== undefined) return refusal;
      if (new Headers(init.headers).get('authorization') !== 'Bearer t') return wrong(401, 'Unauthorized', 'who?');
      const body = JSON.parse(typeof init.body === 'string' ? init.body : '{}') as Record<string, string>;
      const bytes = Buffer.from(body['value'] ?? '', 'base64url');
      if (body['alg'] !== 'RSA-OAEP-256') return wrong(400, 'BadParameter', 'Invalid algorithm');
      const told = (value: Buffer): Response =>
        Response.json({ kid: `${KEY}/${VERSION}`, value: value.toString('base64url') });
      switch (input instanceof Request ? input.url : String(new URL(input))) {
        case `${KEY}/wrapkey?api-version=7.4`:
        case `${KEY}/${VERSION}/wrapkey?api-version=7.4`:
          return told(publicEncrypt({ key: publicKey, ...how }, bytes));
        case `${KEY}/${VERSION}/unwrapkey?api-version=7.4`:
          try {
            return told(privateDecrypt({ key: privateKey, ...how }, bytes));
          } catch (error) {
            if (!(error instanceof Error)) throw error;
            return wrong(400, 'BadParameter', 'The parameter is incorrect.');
          }
        default:
          return wrong(404, 'KeyNotFound', 'A key with (name/id) was not found in this key vault.');
      }
    },
  };
  return vault;
}

function refusalIn(state: KeyVault['state']): Response | undefined {
  if (state === 'away') throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
  if (state === 'busy')
    return wrong(429, 'Throttled', 'Request was not processed because too many requests were received.');
  if (state === 'disabled') return wrong(403, 'Forbidden', 'Operation unwrapKey is not allowed on a disabled key.');
  if (state === 'denied') return wrong(403, 'Forbidden', 'Caller is not authorized to perform action on resource.');
  return undefined;
}
