import { constants, createPublicKey, publicEncrypt } from 'node:crypto';
import {
  type Abortable,
  type Encryptor,
  type Host,
  isKeyframeError,
  KeyframeError,
  type Secret,
} from '@keyframe/contracts';
import { crc32c } from './crc32c.ts';
import { refused, unavailable } from './faults.ts';

/** Options of this encryptor. */
export interface GcpKmsOptions {
  /** `projects/…/cryptoKeys/…`, with `/cryptoKeyVersions/…` where `publicKey` belongs to it. */
  readonly key: string;
  /** PEM of an asymmetric key's public half: what is wrapped by it needs no request. */
  readonly publicKey: string | undefined;
  /** Additional data of a symmetric key: another one does not open. */
  readonly context: string;
  /** False on a host that has no right to decrypt. */
  readonly decrypt: boolean;
  readonly endpoint: string;
  /** Content of a credentials file. */
  readonly credentials: Secret | undefined;
}

/** Headers that say who asks. */
export type Authorize = () => Promise<Readonly<Record<string, string>>>;

/** First byte of what is wrapped. */
const BY_SERVICE = 1;
const BY_PUBLIC_KEY = 2;
const TIMEOUT_MS = 10_000;
const NETWORK = /ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|EHOSTUNREACH|network_error|socket hang up/i;

/** A slot key encrypted by Cloud KMS, or for it. Checksums both ways prove what the network did to the bytes. */
export function createGcpKmsEncryptor(
  options: GcpKmsOptions,
  { fetch }: Pick<Host, 'fetch'>,
  authorize: Authorize = googleAuthorizer(options),
): Encryptor {
  const { key, publicKey, decrypt } = options;
  const context = Buffer.from(options.context);

  const call = callerOf(options, fetch, authorize);
  return {
    keyId: key,
    canUnwrap: decrypt,
    asymmetric: true,
    wrap: async (dataKey, { signal }: Abortable = {}) => {
      signal?.throwIfAborted();
      if (publicKey !== undefined) return Buffer.concat([Buffer.of(BY_PUBLIC_KEY), wrapFor(publicKey, dataKey)]);
      const fields = { plaintext: Buffer.from(dataKey), additionalAuthenticatedData: context };
      return Buffer.concat([Buffer.of(BY_SERVICE), checked(key, await call('encrypt', fields, signal), 'ciphertext')]);
    },
    unwrap: async (wrapped, { signal }: Abortable = {}) => {
      signal?.throwIfAborted();
      if (!decrypt) throw noDecrypt(key);
      const ciphertext = Buffer.from(wrapped.subarray(1));
      const by = wrapped[0];
      if ((by !== BY_SERVICE && by !== BY_PUBLIC_KEY) || ciphertext.length === 0)
        throw new KeyframeError('CORRUPT', 'a key wrapped by Cloud KMS is damaged', { details: { keyId: key } });
      const answer =
        by === BY_PUBLIC_KEY
          ? await call('asymmetricDecrypt', { ciphertext }, signal)
          : await call('decrypt', { ciphertext, additionalAuthenticatedData: context }, signal);
      return checked(key, answer, 'plaintext');
    },
  };
}

type Call = (
  action: string,
  fields: Readonly<Record<string, Buffer>>,
  signal: AbortSignal | undefined,
) => Promise<Record<string, unknown>>;

/** Sends each field with its checksum. */
function callerOf({ key, endpoint }: GcpKmsOptions, fetch: Host['fetch'], authorize: Authorize): Call {
  return async (action, fields, signal) => {
    const body = Object.fromEntries(
      Object.entries(fields).flatMap(([name, bytes]) => [
        [name, bytes.toString('base64')],
        [`${name}Crc32c`, crc32c(bytes)],
      ]),
    );
    const timeout = AbortSignal.timeout(TIMEOUT_MS);
    let response: Response;
    let text: string;
    try {
      response = await fetch(`${endpoint}/v1/${key}:${action}`, {
        method: 'POST',
        headers: { ...(await authorize()), 'content-type': 'application/json' },
        body: JSON.stringify(body),
        signal: signal === undefined ? timeout : AbortSignal.any([signal, timeout]),
      });
      text = await response.text();
    } catch (error) {
      if (signal?.aborted === true) throw signal.reason;
      if (isKeyframeError(error)) throw error;
      throw unavailable(
        key,
        error instanceof Error && error.cause instanceof Error ? error.cause.message : String(error),
        error,
      );
    }
    const answer = parsed(text);
    if (!response.ok) throw refused(key, action, response.status, answer);
    // The service says which checksums it compared: one that it did not see was lost on the way.
    for (const name of Object.keys(fields)) {
      const verified = answer[`verified${name[0]?.toUpperCase()}${name.slice(1)}Crc32c`];
      if (verified === false) throw unavailable(key, 'a request was changed on the way', undefined);
    }
    return answer;
  };
}

/** By Google's own library, which is loaded when the first token is needed. */
function googleAuthorizer({ key, credentials }: GcpKmsOptions): Authorize {
  const scopes = ['https://www.googleapis.com/auth/cloudkms'];
  let made: Promise<{ getRequestHeaders(): Promise<Headers> }> | undefined;
  return async () => {
    made ??= import('google-auth-library').then(({ GoogleAuth }) => {
      const given = credentials === undefined ? {} : { credentials: JSON.parse(credentials.reveal()) as object };
      return new GoogleAuth({ scopes, ...given }).getClient();
    });
    try {
      return Object.fromEntries((await (await made).getRequestHeaders()).entries());
    } catch (error) {
      made = undefined; // what is missing may be there by then
      const said = error instanceof Error ? error.message : String(error);
      if (NETWORK.test(said)) throw unavailable(key, said, error);
      throw new KeyframeError('ACCESS_DENIED', `there are no credentials for Cloud KMS: ${said}`, {
        cause: error,
        hint: 'Give `credentials` in `repositories.<name>.encrypt`, or run on a machine or with a workload identity that has them.',
      });
    }
  };
}

/** RSAES-OAEP with SHA-256: keys of the algorithms RSA_DECRYPT_OAEP_*_SHA256. */
function wrapFor(publicKey: string, dataKey: Uint8Array): Buffer {
  const { RSA_PKCS1_OAEP_PADDING } = constants;
  return publicEncrypt(
    { key: createPublicKey(publicKey), padding: RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
    dataKey,
  );
}

function parsed(text: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === 'object' && value !== null ? { ...value } : {};
  } catch (error) {
    if (error instanceof SyntaxError) return {};
    throw error;
  }
}

function checked(keyId: string, answer: Readonly<Record<string, unknown>>, name: string): Buffer {
  const value = answer[name];
  const bytes = Buffer.from(typeof value === 'string' ? value : '', 'base64');
  if (bytes.length === 0 || crc32c(bytes) !== answer[`${name}Crc32c`])
    throw unavailable(keyId, 'an answer was changed on the way', undefined);
  return bytes;
}

function noDecrypt(key: string): KeyframeError {
  return new KeyframeError('ACCESS_DENIED', `this host does not open with ${key}: \`decrypt: false\` says so`, {
    hint: 'Run this on a host whose `repositories.<name>.encrypt` has the right to decrypt, without `decrypt: false`.',
    details: { keyId: key },
  });
}
