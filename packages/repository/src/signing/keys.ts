/**
 * Ed25519 keys: a private one as PKCS #8 in PEM, as OpenSSL writes it; a public one as `ed25519:` and the base64 of its
 * 32 bytes; the id of a key, the first 16 bytes of the SHA-256 of those, hexadecimal.
 * @packageDocumentation
 */
import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  sign,
  verify,
} from 'node:crypto';
import { KeyframeError } from '@keyframe/contracts';

const PUBLIC_KEY = /^ed25519:([A-Za-z0-9+/]{43}=)$/u;

/** Writes signatures. */
export interface Signer {
  readonly keyId: string;
  readonly publicKey: string;
  /** 64 bytes. */
  sign(message: Uint8Array): Buffer;
}

/** Checks signatures of one key. */
export interface Verifier {
  readonly keyId: string;
  readonly publicKey: string;
  verify(message: Uint8Array, signature: Uint8Array): boolean;
}

/** @throws {KeyframeError} INVALID_OPTION */
export function signerOf(pem: string): Signer {
  const key = privateKeyOf(pem);
  const publicKey = textOf(createPublicKey(key));
  return { keyId: keyIdOf(publicKey), publicKey, sign: (message) => sign(null, message, key) };
}

/** @throws {KeyframeError} INVALID_OPTION */
export function verifierOf(publicKey: string): Verifier {
  const base64 = PUBLIC_KEY.exec(publicKey)?.[1];
  if (base64 === undefined)
    throw new KeyframeError('INVALID_OPTION', `${JSON.stringify(publicKey)} is no public key`, {
      hint: 'Write it under `repositories.<name>.signing.trusted` as `keyframe signer list` prints it: ed25519:…',
    });
  const x = Buffer.from(base64, 'base64').toString('base64url');
  const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x }, format: 'jwk' });
  return {
    keyId: keyIdOf(publicKey),
    publicKey,
    verify: (message, signature) => verify(null, message, key, signature),
  };
}

/** A new key pair. */
export function newSigningKey(): { readonly pem: string; readonly publicKey: string; readonly keyId: string } {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519');
  const text = textOf(publicKey);
  return {
    pem: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
    publicKey: text,
    keyId: keyIdOf(text),
  };
}

function privateKeyOf(pem: string): KeyObject {
  try {
    const key = createPrivateKey({ key: pem, format: 'pem' });
    if (key.asymmetricKeyType === 'ed25519') return key;
  } catch (cause) {
    throw noSigningKey(cause);
  }
  throw noSigningKey(undefined);
}

function noSigningKey(cause: unknown): KeyframeError {
  return new KeyframeError('INVALID_OPTION', 'the signing key is no Ed25519 private key in PEM', {
    cause,
    hint: 'Make one with `keyframe signer create` and name its file in `repositories.<name>.signing.key` as ${file:/path}.',
  });
}

function textOf(key: KeyObject): string {
  const { x = '' } = key.export({ format: 'jwk' });
  return `ed25519:${Buffer.from(x, 'base64url').toString('base64')}`;
}

function keyIdOf(publicKey: string): string {
  return hash('sha256', Buffer.from(publicKey.slice('ed25519:'.length), 'base64')).slice(0, 32);
}
