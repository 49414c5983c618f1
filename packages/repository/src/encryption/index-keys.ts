import { createHmac, hash, randomBytes } from 'node:crypto';
import { associate, ObjectCipher } from './object-cipher.ts';
import { derive } from './sealed-key.ts';

const NO_SALT: Uint8Array = new Uint8Array();
const SALT_BYTES = 32;

/** Everything derived from the index key of one generation: what a host may have that writes and does not read. */
export class IndexKeys {
  readonly generation: number;
  /** Under which equal content is recognised. */
  readonly contentKey: Uint8Array;
  readonly #repositoryId: string;
  readonly #indexKey: Uint8Array;
  readonly #identityKey: Uint8Array;

  constructor(generation: number, indexKey: Uint8Array, repositoryId: string) {
    this.generation = generation;
    this.#repositoryId = repositoryId;
    this.#indexKey = indexKey;
    this.contentKey = derive(indexKey, NO_SALT, 'keyframe content hash 1');
    this.#identityKey = derive(indexKey, NO_SALT, 'keyframe wal identity 1');
  }

  /** By which a WAL file is recognised: of its SHA-256, which it hides. Hexadecimal. */
  walIdentity(sha256: string): string {
    return createHmac('sha256', this.#identityKey).update(Buffer.from(sha256, 'hex')).digest('hex');
  }

  /** Proves what `generation.json` says to whoever has the index key. */
  seal(...texts: readonly string[]): string {
    const key = derive(this.#indexKey, NO_SALT, 'keyframe generation 1');
    return createHmac('sha256', key)
      .update(associate(...texts))
      .digest('hex');
  }

  /** For the index of an object, whose header has the salt. */
  cipher(objectKey: string, salt: Uint8Array): ObjectCipher {
    const key = derive(this.#indexKey, salt, 'keyframe index 1');
    return new ObjectCipher(this.generation, key, this.#repositoryId, objectKey);
  }

  /** A salt that no other object has. */
  newSalt(): Buffer {
    return randomBytes(SALT_BYTES);
  }

  /** Tells two index keys apart without showing either. */
  get fingerprint(): string {
    return hash('sha256', derive(this.#indexKey, NO_SALT, 'keyframe index fingerprint 1')).slice(0, 16);
  }
}
