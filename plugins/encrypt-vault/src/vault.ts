import { constants, createPublicKey, publicEncrypt } from 'node:crypto';
import { type Abortable, type Encryptor, type Host, KeyframeError, type Secret } from '@keyframe/contracts';
import { createSession } from './session.ts';

/** How a token is had. */
export type VaultLogin =
  | { readonly token: Secret }
  | { readonly mount: string; readonly body: Readonly<Record<string, Secret | string>> };

/** Options of this encryptor. */
export interface VaultOptions {
  /** Without a slash at its end. */
  readonly address: string;
  /** Name of the key in the transit engine. */
  readonly key: string;
  readonly mount: string;
  readonly namespace: string | undefined;
  readonly login: VaultLogin;
  /** PEM of an RSA key's public half: what is wrapped by it needs no request. */
  readonly publicKey: string | undefined;
  readonly publicKeyVersion: number;
  /** False on a host that has no right to decrypt. */
  readonly decrypt: boolean;
}

const CIPHERTEXT = /^vault:v\d+:(?:[A-Za-z0-9+/]{4})+(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$/;

/** A slot key encrypted by the transit engine of Vault or OpenBao: what is stored is the engine's own text. */
export function createVaultEncryptor(options: VaultOptions, host: Pick<Host, 'fetch' | 'now'>): Encryptor {
  const { address, mount, key, publicKey, publicKeyVersion, decrypt, namespace } = options;
  const keyId = `${address}/${namespace === undefined ? '' : `${namespace}/`}${mount}/${key}`;
  const session = createSession(options, keyId, host);
  return {
    keyId,
    canUnwrap: decrypt,
    asymmetric: true,
    wrap: async (dataKey, { signal }: Abortable = {}) => {
      signal?.throwIfAborted();
      if (publicKey !== undefined)
        return Buffer.from(`vault:v${publicKeyVersion}:${wrapFor(publicKey, dataKey).toString('base64')}`);
      const plaintext = Buffer.from(dataKey).toString('base64');
      const answer = await session.post(`${mount}/encrypt/${key}`, { plaintext }, signal);
      return Buffer.from(textOf(answer, 'ciphertext'));
    },
    unwrap: async (wrapped, { signal }: Abortable = {}) => {
      signal?.throwIfAborted();
      if (!decrypt) throw noDecrypt(keyId);
      const ciphertext = Buffer.from(wrapped).toString('latin1');
      if (!CIPHERTEXT.test(ciphertext))
        throw new KeyframeError('CORRUPT', 'a key wrapped by Vault is damaged', { details: { keyId } });
      const answer = await session.post(`${mount}/decrypt/${key}`, { ciphertext }, signal);
      return Buffer.from(textOf(answer, 'plaintext'), 'base64');
    },
  };
}

/** RSAES-OAEP with SHA-256, as the engine does it. */
function wrapFor(publicKey: string, dataKey: Uint8Array): Buffer {
  const { RSA_PKCS1_OAEP_PADDING } = constants;
  return publicEncrypt(
    { key: createPublicKey(publicKey), padding: RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha256' },
    dataKey,
  );
}

function textOf(answer: unknown, name: string): string {
  const data = typeof answer === 'object' && answer !== null ? Reflect.get(answer, 'data') : undefined;
  const value: unknown = typeof data === 'object' && data !== null ? Reflect.get(data, name) : undefined;
  if (typeof value === 'string') return value;
  throw new KeyframeError('UNAVAILABLE', `Vault answered without ${name}`, {
    hint: 'Check `address` in `repositories.<name>.encrypt`: something else than Vault may answer there.',
  });
}

function noDecrypt(keyId: string): KeyframeError {
  return new KeyframeError('ACCESS_DENIED', `this host does not open with ${keyId}: \`decrypt: false\` says so`, {
    hint: 'Run this on a host whose `repositories.<name>.encrypt` has the right to decrypt, without `decrypt: false`.',
    details: { keyId },
  });
}
