import { constants, createPublicKey, publicEncrypt } from 'node:crypto';
import type { DecryptCommandInput, KMSClient, KMSClientConfig } from '@aws-sdk/client-kms';
import { type Abortable, type Encryptor, KeyframeError, type Secret } from '@keyframe/contracts';
import { translated } from './faults.ts';

/** Options of this encryptor. */
export interface AwsKmsOptions {
  /** ARN, id or alias of the key. */
  readonly key: string;
  /** PEM of an asymmetric key's public half: what is wrapped by it needs no request. */
  readonly publicKey: string | undefined;
  /** Bound to what is wrapped: another context does not open it. */
  readonly context: Readonly<Record<string, string>>;
  /** False on a host that has no right to decrypt. */
  readonly decrypt: boolean;
  readonly region: string | undefined;
  readonly endpoint: string | undefined;
  readonly profile: string | undefined;
  readonly accessKeyId: Secret | undefined;
  readonly secretAccessKey: Secret | undefined;
  readonly sessionToken: Secret | undefined;
}

/** First byte of what is wrapped. */
const BY_SERVICE = 1;
const BY_PUBLIC_KEY = 2;

/** What `kms:EncryptionContext:purpose` of a policy can ask for. */
const CONTEXT = { purpose: 'keyframe' } as const;
const ATTEMPTS = 3;
const TIMEOUT_MS = 10_000;

/** A slot key encrypted by AWS KMS, or for it. */
export function createAwsKmsEncryptor(options: AwsKmsOptions): Encryptor {
  const { key, publicKey, decrypt } = options;
  const EncryptionContext = { ...CONTEXT, ...options.context };
  let made: Promise<KMSClient> | undefined;
  const client = (): Promise<KMSClient> => (made ??= createClient(options));
  return {
    keyId: key,
    canUnwrap: decrypt,
    asymmetric: true,
    wrap: async (dataKey, { signal }: Abortable = {}) => {
      signal?.throwIfAborted();
      if (publicKey !== undefined) return Buffer.concat([Buffer.of(BY_PUBLIC_KEY), wrapFor(publicKey, dataKey)]);
      const { EncryptCommand } = await import('@aws-sdk/client-kms');
      const command = new EncryptCommand({ KeyId: key, Plaintext: dataKey, EncryptionContext });
      const { CiphertextBlob } = await translated(key, 'kms:Encrypt', signal, async () =>
        (await client()).send(command, signal === undefined ? {} : { abortSignal: signal }),
      );
      return Buffer.concat([Buffer.of(BY_SERVICE), CiphertextBlob ?? Buffer.of()]);
    },
    unwrap: async (wrapped, { signal }: Abortable = {}) => {
      signal?.throwIfAborted();
      if (!decrypt) throw noDecrypt(key);
      const how: Partial<DecryptCommandInput> | undefined = {
        [BY_SERVICE]: { EncryptionContext },
        [BY_PUBLIC_KEY]: { EncryptionAlgorithm: 'RSAES_OAEP_SHA_256' } as const,
      }[wrapped[0] ?? 0];
      if (how === undefined || wrapped.length < 2)
        throw new KeyframeError('CORRUPT', 'a key wrapped by AWS KMS is damaged', { details: { keyId: key } });
      const { DecryptCommand } = await import('@aws-sdk/client-kms');
      const command = new DecryptCommand({ KeyId: key, CiphertextBlob: Uint8Array.from(wrapped.subarray(1)), ...how });
      const { Plaintext } = await translated(key, 'kms:Decrypt', signal, async () =>
        (await client()).send(command, signal === undefined ? {} : { abortSignal: signal }),
      );
      return Plaintext ?? Buffer.of();
    },
    close: async () => (await made)?.destroy(),
  };
}

async function createClient(options: AwsKmsOptions): Promise<KMSClient> {
  const { region, endpoint, profile, accessKeyId, secretAccessKey, sessionToken } = options;
  const { KMSClient: Client } = await import('@aws-sdk/client-kms');
  const ofKey =
    /^arn:[^:]*:kms:([a-z0-9-]+):/.exec(options.key)?.[1] ?? (endpoint === undefined ? undefined : 'us-east-1');
  const config: KMSClientConfig = {
    maxAttempts: ATTEMPTS,
    requestHandler: { requestTimeout: TIMEOUT_MS, connectionTimeout: TIMEOUT_MS },
  };
  if (region !== undefined || ofKey !== undefined) config.region = region ?? ofKey ?? '';
  if (endpoint !== undefined) config.endpoint = endpoint;
  if (profile !== undefined) config.profile = profile;
  if (accessKeyId !== undefined && secretAccessKey !== undefined)
    config.credentials = {
      accessKeyId: accessKeyId.reveal(),
      secretAccessKey: secretAccessKey.reveal(),
      ...(sessionToken && { sessionToken: sessionToken.reveal() }),
    };
  return new Client(config);
}

/** RSAES-OAEP with SHA-256, which the service opens. */
function wrapFor(publicKey: string, dataKey: Uint8Array): Buffer {
  const { RSA_PKCS1_OAEP_PADDING } = constants;
  return publicEncrypt(
    { key: createPublicKey(publicKey), padding: RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
    dataKey,
  );
}

function noDecrypt(key: string): KeyframeError {
  return new KeyframeError('ACCESS_DENIED', `this host does not open with ${key}: \`decrypt: false\` says so`, {
    hint: 'Run this on a host whose `repositories.<name>.encrypt` has the right to decrypt, without `decrypt: false`.',
    details: { keyId: key },
  });
}
