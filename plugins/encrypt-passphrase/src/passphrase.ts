import { createCipheriv, createDecipheriv, randomBytes, scrypt } from 'node:crypto';
import { type Encryptor, KeyframeError, type Secret } from '@keyframe/contracts';

/** Options of this encryptor. */
export interface PassphraseOptions {
  /** At least 12 characters. Compared in Unicode's form NFC, so that it does not matter how a keyboard composes them. */
  readonly passphrase: Secret;
  /** Tells several passphrases of one repository apart; shown by `keyframe key list`. Default `passphrase`. */
  readonly name: string;
  /** Binary logarithm of scrypt's N, 14 to 20: each step doubles time and memory (17: 128 MiB). Default 17. */
  readonly work: number;
}

/** Version, log2 N, r, p, then the salt. All of it is authenticated. */
const HEAD_BYTES = 4 + 32;
const TAG_BYTES = 16;
const VERSION = 1;
const BLOCK_SIZE = 8;
const PARALLEL = 1;
/** A forged slot must not be able to ask for more memory than a gibibyte. */
const WORK_LIMIT = 20;
/** The key encrypts one message: its salt is its own. */
const NONCE: Uint8Array = new Uint8Array(12);

/** A key-encryption key from the passphrase, and AES-256-GCM. */
export function createPassphraseEncryptor({ passphrase, name, work }: PassphraseOptions): Encryptor {
  return {
    keyId: name,
    canUnwrap: true,
    wrap: async (dataKey, { signal } = {}) => {
      signal?.throwIfAborted();
      const head = Buffer.concat([Buffer.of(VERSION, work, BLOCK_SIZE, PARALLEL), randomBytes(HEAD_BYTES - 4)]);
      const cipher = createCipheriv('aes-256-gcm', await keyFrom(passphrase, head), NONCE).setAAD(head);
      signal?.throwIfAborted();
      return Buffer.concat([head, cipher.update(dataKey), cipher.final(), cipher.getAuthTag()]);
    },
    unwrap: async (wrapped, { signal } = {}) => {
      signal?.throwIfAborted();
      const bytes = Buffer.from(wrapped);
      assertReadable(bytes);
      const head = bytes.subarray(0, HEAD_BYTES);
      const decipher = createDecipheriv('aes-256-gcm', await keyFrom(passphrase, head), NONCE, {
        authTagLength: TAG_BYTES,
      });
      signal?.throwIfAborted();
      decipher.setAAD(head).setAuthTag(bytes.subarray(-TAG_BYTES));
      try {
        return Buffer.concat([decipher.update(bytes.subarray(HEAD_BYTES, -TAG_BYTES)), decipher.final()]);
      } catch (error) {
        throw new KeyframeError('ACCESS_DENIED', `the passphrase ${name} does not open this`, {
          cause: error,
          hint: 'Check `passphrase` in `repositories.<name>.encrypt`: the right file or variable, without a line more.',
          details: { keyId: name },
        });
      }
    },
  };
}

function assertReadable(bytes: Buffer): void {
  const [version = 0, work = 0, blockSize, parallel] = bytes;
  if (bytes.length <= HEAD_BYTES + TAG_BYTES)
    throw new KeyframeError('CORRUPT', 'a key wrapped by a passphrase is too short');
  if (version !== VERSION || work < 1 || work > WORK_LIMIT || blockSize !== BLOCK_SIZE || parallel !== PARALLEL)
    throw new KeyframeError('CORRUPT', 'a key wrapped by a passphrase has parameters that nobody writes');
}

/** In the thread pool. */
function keyFrom(passphrase: Secret, head: Buffer): Promise<Buffer> {
  const [, work = 0, r = 0, p = 0] = head;
  const N = 2 ** work;
  const options = { N, r, p, maxmem: 2 * 128 * N * r };
  return new Promise((resolve, reject) => {
    scrypt(passphrase.reveal().normalize('NFC'), head.subarray(4), 32, options, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}
