/** A small Cloud KMS that really encrypts, for tests: paths, fields, checksums and errors as the API's reference has them. @packageDocumentation */
import {
  constants,
  createCipheriv,
  createDecipheriv,
  generateKeyPairSync,
  privateDecrypt,
  randomBytes,
} from 'node:crypto';
import { crc32c } from './crc32c.ts';

/** What tests set and see. */
export interface CloudKms {
  readonly fetch: typeof globalThis.fetch;
  readonly publicKey: string;
  state: 'open' | 'disabled' | 'denied' | 'away' | 'garbles';
}

export const RING = 'projects/p/locations/europe-west1/keyRings/r/cryptoKeys';

const wrong = (code: number, status: string, message: string): Response =>
  Response.json({ error: { code, status, message } }, { status: code });

/** Knows the symmetric key `backups` and version 1 of the asymmetric key `rsa`. */
export function createCloudKms(): CloudKms {
  const key = randomBytes(32);
  const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  const kms: CloudKms = {
    publicKey: String(publicKey.export({ type: 'spki', format: 'pem' })),
    state: 'open',
    fetch: async (input, init = {}) => {
      init.signal?.throwIfAborted();
      const refusal = refusalIn(kms.state);
      if (refusal !== undefined) return refusal;
      if (new Headers(init.headers).get('authorization') !== 'Bearer t') return wrong(401, 'UNAUTHENTICATED', 'who?');
      const body = JSON.parse(typeof init.body === 'string' ? init.body : '{}') as Record<string, string>;
      const bytes = (name: string): Buffer => Buffer.from(body[name] ?? '', 'base64');
      for (const name of ['plaintext', 'ciphertext', 'additionalAuthenticatedData'])
        if (name in body && body[`${name}Crc32c`] !== crc32c(bytes(name)))
          return wrong(400, 'INVALID_ARGUMENT', `The checksum in field ${name}_crc32c did not match`);
      const context = bytes('additionalAuthenticatedData');
      const path = new URL(input instanceof Request ? input.url : input).pathname;
      const told = (name: string, value: Buffer, verified: readonly string[]): Response =>
        Response.json({
          [name]: value.toString('base64'),
          [`${name}Crc32c`]: kms.state === 'garbles' ? '1' : crc32c(value),
          ...Object.fromEntries(verified.map((each) => [`verified${each}Crc32c`, true])),
        });
      try {
        switch (path) {
          case `/v1/${RING}/backups:encrypt`:
            return told('ciphertext', seal(key, bytes('plaintext'), context), [
              'Plaintext',
              'AdditionalAuthenticatedData',
            ]);
          case `/v1/${RING}/backups:decrypt`:
            return told('plaintext', unseal(key, bytes('ciphertext'), context), []);
          case `/v1/${RING}/rsa/cryptoKeyVersions/1:asymmetricDecrypt`: {
            const padding = constants.RSA_PKCS1_OAEP_PADDING;
            const plain = privateDecrypt({ key: privateKey, padding, oaepHash: 'sha256' }, bytes('ciphertext'));
            return told('plaintext', plain, ['Ciphertext']);
          }
          default:
            return wrong(404, 'NOT_FOUND', `${path} not found.`);
        }
      } catch (error) {
        if (!(error instanceof Error)) throw error;
        return wrong(400, 'INVALID_ARGUMENT', "Decryption failed: verify that 'name' refers to the correct CryptoKey.");
      }
    },
  };
  return kms;
}

function refusalIn(state: CloudKms['state']): Response | undefined {
  if (state === 'away') throw new TypeError('fetch failed', { cause: new Error('connect ECONNREFUSED') });
  if (state === 'disabled')
    return wrong(400, 'FAILED_PRECONDITION', 'cryptoKeyVersions/1 is not enabled, current state is: DISABLED.');
  if (state === 'denied')
    return wrong(403, 'PERMISSION_DENIED', "Permission 'cloudkms.cryptoKeyVersions.useToDecrypt' denied");
  return undefined;
}

function seal(key: Buffer, plaintext: Buffer, context: Buffer): Buffer {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce).setAAD(context);
  return Buffer.concat([nonce, cipher.update(plaintext), cipher.final(), cipher.getAuthTag()]);
}

function unseal(key: Buffer, bytes: Buffer, context: Buffer): Buffer {
  const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), { authTagLength: 16 });
  decipher.setAAD(context).setAuthTag(bytes.subarray(-16));
  return Buffer.concat([decipher.update(bytes.subarray(12, -16)), decipher.final()]);
}
