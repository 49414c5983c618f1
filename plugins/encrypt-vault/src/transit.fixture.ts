/**
 * A small transit engine that really encrypts, for tests: paths, fields and errors as Vault's documentation has them.
 * @packageDocumentation
 */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  generateKeyPairSync,
  privateDecrypt,
  randomBytes,
} from 'node:crypto';

/** One request to it, as `fetch` sends it. */
export interface Transit {
  readonly fetch: typeof globalThis.fetch;
  /** PEM of the key `rsa`. */
  readonly publicKey: string;
  readonly requests: string[];
  /** Answers like a sealed server, or like none. */
  state: 'open' | 'sealed' | 'away';
  revokeTokens(): void;
}

const json = (status: number, body: object): Response => Response.json(body, { status });
const wrong = (status: number, ...errors: readonly string[]): Response => json(status, { errors });

/** Knows the token `root`, an AppRole, a service account, and the keys `backups` (AES-256-GCM) and `rsa`. */
export function createTransit(): Transit {
  const key = randomBytes(32);
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const tokens = new Set(['root']);
  const transit: Transit = {
    publicKey: String(publicKey.export({ type: 'spki', format: 'pem' })),
    requests: [],
    state: 'open',
    revokeTokens: () => {
      tokens.clear();
    },
    fetch: async (input, init = {}) => {
      init.signal?.throwIfAborted();
      if (transit.state !== 'open') return away(transit.state);
      const headers = new Headers(init.headers);
      const path = new URL(input instanceof Request ? input.url : input).pathname;
      transit.requests.push(`${init.method} ${headers.get('x-vault-namespace') ?? ''}${path}`);
      const body = JSON.parse(typeof init.body === 'string' ? init.body : '{}') as Record<string, string>;
      const login = loginTo(path, body);
      if (login !== undefined) {
        if (!login) return wrong(400, 'invalid role or secret ID');
        const token = randomBytes(8).toString('hex');
        tokens.add(token);
        return json(200, { auth: { client_token: token, lease_duration: 3600, renewable: true } });
      }
      if (!tokens.has(headers.get('x-vault-token') ?? ''))
        return wrong(403, '1 error occurred:\n\t* permission denied\n\n');
      switch (path) {
        case '/v1/transit/encrypt/backups':
          return json(200, { data: { ciphertext: `vault:v1:${seal(key, body['plaintext'] ?? '')}` } });
        case '/v1/transit/decrypt/backups':
          return opened(() => unseal(key, body['ciphertext'] ?? ''));
        case '/v1/transit/decrypt/rsa':
          return opened(() => {
            const bytes = Buffer.from((body['ciphertext'] ?? '').replace(/^vault:v1:/, ''), 'base64');
            return privateDecrypt(
              { key: privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
              bytes,
            );
          });
        default:
          return wrong(400, 'encryption key not found');
      }
    },
  };
  return transit;
}

function away(state: 'sealed' | 'away'): Response {
  if (state === 'sealed') return wrong(503, 'Vault is sealed');
  throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
}

function loginTo(path: string, body: Readonly<Record<string, string>>): boolean | undefined {
  if (path === '/v1/auth/approle/login') return body['role_id'] === 'role' && body['secret_id'] === 'secret';
  if (path === '/v1/auth/kubernetes/login') return body['role'] === 'role' && body['jwt'] === 'jwt';
  return undefined;
}

function opened(open: () => Buffer): Response {
  try {
    return json(200, { data: { plaintext: open().toString('base64') } });
  } catch (error) {
    if (!(error instanceof Error)) throw error;
    return wrong(400, 'cipher: message authentication failed');
  }
}

function seal(key: Buffer, plaintext: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  const sealed = [cipher.update(Buffer.from(plaintext, 'base64')), cipher.final()];
  return Buffer.concat([nonce, ...sealed, cipher.getAuthTag()]).toString('base64');
}

function unseal(key: Buffer, text: string): Buffer {
  const bytes = Buffer.from(text.replace(/^vault:v1:/, ''), 'base64');
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), { authTagLength: 16 });
  decipher.setAuthTag(bytes.subarray(-16));
  return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
}
