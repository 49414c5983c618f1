import { constants, createPublicKey, publicEncrypt } from 'node:crypto';
import { type Abortable, type Encryptor, type Host, KeyframeError, type Secret } from '@keyframe/contracts';
import { refused, unavailable } from './faults.ts';

/** Options of this encryptor. */
export interface AzureKeyOptions {
  /** `https://VAULT.vault.azure.net/keys/NAME`, with a version where `publicKey` belongs to it. */
  readonly key: string;
  /** PEM of the key's public half: what is wrapped by it needs no request. */
  readonly publicKey: string | undefined;
  /** False on a host that has no right to unwrap. */
  readonly decrypt: boolean;
  readonly tenantId: string | undefined;
  readonly clientId: string | undefined;
  readonly clientSecret: Secret | undefined;
}

/** Gives the token for the next request. */
export type TokenSource = (signal: AbortSignal | undefined) => Promise<string>;

/** What is stored: which version of the key opens it, and what it opens. */
interface Wrapped {
  readonly version: string;
  readonly value: string;
}

const ALGORITHM = 'RSA-OAEP-256';
const API = 'api-version=7.4';
const TIMEOUT_MS = 10_000;
const NETWORK = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|network_error|socket hang up/i;
const KEY = /^(?<base>https?:\/\/[^/]+\/keys\/[^/]+)(?:\/(?<version>[0-9a-f]{32}))?$/;

/** A slot key wrapped by an RSA key of Azure Key Vault or a managed HSM, or for it. */
export function createAzureEncryptor(
  options: AzureKeyOptions,
  { fetch }: Pick<Host, 'fetch'>,
  tokens: TokenSource = identityTokens(options),
): Encryptor {
  const { key, publicKey, decrypt } = options;
  const { base = key, version = '' } = KEY.exec(key)?.groups ?? {};
  const call = async (of: string, action: string, value: string, signal: AbortSignal | undefined) => {
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${base}${of === '' ? '' : `/${of}`}/${action}?${API}`, {
        method: 'POST',
        headers: { authorization: `Bearer ${await tokens(signal)}`, 'content-type': 'application/json' },
        body: JSON.stringify({ alg: ALGORITHM, value }),
        signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      });
      text = await response.text();
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      throw unavailable(key, error);
    }
    const answer = fieldsOf(text);
    if (response.ok && answer['value'] !== undefined) return answer;
    throw refused(key, action, response.status, text);
  };
  return {
    keyId: key,
    canUnwrap: decrypt,
    asymmetric: true,
    wrap: async (dataKey, { signal }: Abortable = {}) => {
      signal?.throwIfAborted();
      if (publicKey !== undefined) return encode({ version, value: wrapFor(publicKey, dataKey).toString('base64url') });
      const { kid = '', value = '' } = await call(
        version,
        'wrapkey',
        Buffer.from(dataKey).toString('base64url'),
        signal,
      );
      return encode({ version: kid.slice(kid.lastIndexOf('/') + 1), value });
    },
    unwrap: async (wrapped, { signal }: Abortable = {}) => {
      signal?.throwIfAborted();
      if (!decrypt) throw noUnwrap(key);
      // The vault's address is the configuration's: what is stored may not say where a token is sent.
      const stored = decode(wrapped, key);
      const { value = '' } = await call(stored.version, 'unwrapkey', stored.value, signal);
      return Buffer.from(value, 'base64url');
    },
  };
}

const encode = ({ version, value }: Wrapped): Buffer => Buffer.from(`${version}:${value}`);

function decode(wrapped: Uint8Array, keyId: string): Wrapped {
  const [, version, value] = /^([0-9a-f]{32}):([A-Za-z0-9_-]+)$/.exec(Buffer.from(wrapped).toString('latin1')) ?? [];
  // Base64url of a modulus: bits that no byte has must be zero, else two texts would be one value.
  if (version === undefined || value === undefined || Buffer.from(value, 'base64url').toString('base64url') !== value)
    throw new KeyframeError('CORRUPT', 'a key wrapped by Azure Key Vault is damaged', { details: { keyId } });
  return { version, value };
}

function fieldsOf(text: string): Readonly<Record<string, string | undefined>> {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return {};
    return Object.fromEntries(Object.entries(value).filter(([, each]) => typeof each === 'string')) as Record<
      string,
      string
    >;
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

/** Microsoft's own library, which is loaded when the first token is needed; it keeps tokens until shortly before they end. */
function identityTokens({ key, tenantId, clientId, clientSecret }: AzureKeyOptions): TokenSource {
  const scope = new URL(key).hostname.includes('.managedhsm.')
    ? 'https://managedhsm.azure.net/.default'
    : `https://${new URL(key).hostname.replace(/^[^.]+\./, '')}/.default`;
  let made: Promise<{ getToken(scope: string, how: object): Promise<{ readonly token: string } | null> }> | undefined;
  return async (signal) => {
    made ??= import('@azure/identity').then((identity) => {
      if (tenantId !== undefined && clientId !== undefined && clientSecret !== undefined)
        return new identity.ClientSecretCredential(tenantId, clientId, clientSecret.reveal());
      const options = {
        ...(tenantId !== undefined && { tenantId }),
        ...(clientId !== undefined && { managedIdentityClientId: clientId, workloadIdentityClientId: clientId }),
      };
      return new identity.DefaultAzureCredential(options);
    });
    try {
      const token = await (await made).getToken(scope, signal === undefined ? {} : { abortSignal: signal });
      if (token !== null) return token.token;
    } catch (error) {
      if (signal?.aborted === true) throw error;
      const [said = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
      throw NETWORK.test(said) ? unavailable(key, error) : noToken(said, error);
    }
    throw noToken('none was given', undefined);
  };
}

function noToken(said: string, cause: unknown): KeyframeError {
  return new KeyframeError('ACCESS_DENIED', `there is no token for Azure Key Vault: ${said}`, {
    cause,
    hint: 'Give `tenantId`, `clientId` and `clientSecret` in `repositories.<name>.encrypt`, or run with a managed or workload identity.',
  });
}

/** As `RSA-OAEP-256` of the service. */
function wrapFor(publicKey: string, dataKey: Uint8Array): Buffer {
  const { RSA_PKCS1_OAEP_PADDING } = constants;
  return publicEncrypt(
    { key: createPublicKey(publicKey), padding: RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
    dataKey,
  );
}

function noUnwrap(key: string): KeyframeError {
  return new KeyframeError('ACCESS_DENIED', `this host does not open with ${key}: \`decrypt: false\` says so`, {
    hint: 'Run this on a host whose `repositories.<name>.encrypt` has the right to unwrap, without `decrypt: false`.',
    details: { keyId: key },
  });
}
