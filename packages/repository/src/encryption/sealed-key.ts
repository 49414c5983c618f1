/**
 * Data keys sealed to the public key of a generation: whoever writes needs no secret, whoever reads the private key.
 * @packageDocumentation
 */
import {
  createCipheriv,
  createDecipheriv,
  createPrivateKey,
  createPublicKey,
  diffieHellman,
  generateKeyPairSync,
  hkdfSync,
  type KeyObject,
  randomBytes,
} from 'node:crypto';
import { damaged } from '../objects/damage.ts';
import { associate, TAG_BYTES } from './object-cipher.ts';

/** Of every key here, X25519 and AES-256. */
export const KEY_BYTES = 32;
/** Ephemeral public key, wrapped data key and its tag. */
export const SEALED_KEY_BYTES: number = KEY_BYTES * 2 + TAG_BYTES;

/** The key that wraps serves for one message only. */
const NONCE: Uint8Array = new Uint8Array(12);
const CURVE = { kty: 'OKP', crv: 'X25519' } as const;

/** A new pair, as raw bytes. */
export function newKeyPair(): { readonly publicKey: Buffer; readonly privateKey: Buffer } {
  const { privateKey } = generateKeyPairSync('x25519');
  const { x = '', d = '' } = privateKey.export({ format: 'jwk' });
  return { publicKey: Buffer.from(x, 'base64url'), privateKey: Buffer.from(d, 'base64url') };
}

/** The public half of a raw private key. */
export function publicKeyOf(privateKey: Uint8Array): Buffer {
  const { x = '' } = createPublicKey(privateObject(privateKey)).export({ format: 'jwk' });
  return Buffer.from(x, 'base64url');
}

/** Makes a data key for one object. */
export function sealNewKey(
  publicKey: Uint8Array,
  repositoryId: string,
  objectKey: string,
): { readonly dataKey: Buffer; readonly sealed: Buffer } {
  const dataKey = randomBytes(KEY_BYTES);
  const { publicKey: ephemeral, privateKey } = generateKeyPairSync('x25519');
  const own = Buffer.from(ephemeral.export({ format: 'jwk' }).x ?? '', 'base64url');
  const shared = diffieHellman({ privateKey, publicKey: publicObject(publicKey) });
  const cipher = createCipheriv('aes-256-gcm', wrappingKey(shared, own, publicKey), NONCE);
  cipher.setAAD(associate(repositoryId, objectKey));
  const wrapped = cipher.update(dataKey);
  cipher.final();
  return { dataKey, sealed: Buffer.concat([own, wrapped, cipher.getAuthTag()]) };
}

/** @throws {KeyframeError} CORRUPT unless it was sealed to that private key, for that object */
export function openSealedKey(
  sealed: Uint8Array,
  privateKey: Uint8Array,
  repositoryId: string,
  objectKey: string,
): Buffer {
  if (sealed.length !== SEALED_KEY_BYTES) throw damaged(objectKey, 'its data key has another length');
  const ephemeral = sealed.subarray(0, KEY_BYTES);
  try {
    const shared = diffieHellman({ privateKey: privateObject(privateKey), publicKey: publicObject(ephemeral) });
    const key = wrappingKey(shared, ephemeral, publicKeyOf(privateKey));
    const decipher = createDecipheriv('aes-256-gcm', key, NONCE, { authTagLength: TAG_BYTES });
    decipher.setAAD(associate(repositoryId, objectKey));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    const dataKey = decipher.update(sealed.subarray(KEY_BYTES, -TAG_BYTES));
    decipher.final();
    return dataKey;
  } catch (error) {
    throw damaged(objectKey, 'its data key was not made for it', { cause: error });
  }
}

function wrappingKey(shared: Uint8Array, ephemeral: Uint8Array, publicKey: Uint8Array): Uint8Array {
  return derive(shared, Buffer.concat([ephemeral, publicKey]), 'keyframe data key 1');
}

/** HKDF-SHA-256 to 32 bytes. */
export function derive(secret: Uint8Array, salt: Uint8Array, purpose: string): Uint8Array {
  return new Uint8Array(hkdfSync('sha256', secret, salt, purpose, KEY_BYTES));
}

function publicObject(raw: Uint8Array): KeyObject {
  return createPublicKey({ key: { ...CURVE, x: Buffer.from(raw).toString('base64url') }, format: 'jwk' });
}

function privateObject(raw: Uint8Array): KeyObject {
  // PKCS #8 of an X25519 key is this prefix and the scalar (RFC 8410).
  const prefix = Buffer.from('302e020100300506032b656e04220420', 'hex');
  return createPrivateKey({ key: Buffer.concat([prefix, raw]), format: 'der', type: 'pkcs8' });
}
