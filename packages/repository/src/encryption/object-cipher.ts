import { createCipheriv, createDecipheriv, createSecretKey, type KeyObject } from 'node:crypto';
import { ByteWriter } from '../format/bytes.ts';
import { damaged } from '../objects/damage.ts';

/** Of AES-256-GCM; follows each ciphertext. */
export const TAG_BYTES = 16;
const ALGORITHM = 'aes-256-gcm';
const NONCE_BYTES = 12;
/** Second word of the nonce: frames and sections under one key never share a nonce. */
const SECTIONS = 1;

/** `bytes` of each text: what associates a ciphertext with the one place where it belongs. */
export function associate(...texts: readonly string[]): Buffer {
  const writer = new ByteWriter(256);
  for (const text of texts) writer.counted(Buffer.from(text));
  return writer.take();
}

/** Encrypts frames and sections of one object, under a key that no other object has. */
export class ObjectCipher {
  readonly generation: number;
  readonly #key: KeyObject;
  readonly #objectKey: string;
  readonly #place: Buffer;

  constructor(generation: number, key: Uint8Array, repositoryId: string, objectKey: string) {
    this.generation = generation;
    this.#key = createSecretKey(key);
    this.#objectKey = objectKey;
    this.#place = associate(repositoryId, objectKey);
  }

  /** Ciphertext and tag. Never twice for one number: the nonce would repeat. `header` is the frame's, without its checksum. */
  seal(number: number, header: Uint8Array, payload: Uint8Array): Buffer {
    return this.#seal(nonceOf(number, 0), [wordOf(number), header], payload);
  }

  /** In memory of its own. @throws {KeyframeError} CORRUPT */
  open(number: number, header: Uint8Array, sealed: Uint8Array): Buffer {
    return this.#open(nonceOf(number, 0), [wordOf(number), header], sealed, `frame ${number}`);
  }

  /** A section of the object's tail. Never twice for one id. */
  sealSection(id: number, content: Uint8Array): Buffer {
    return this.#seal(nonceOf(id, SECTIONS), [wordOf(id)], content);
  }

  /** @throws {KeyframeError} CORRUPT */
  openSection(id: number, sealed: Uint8Array): Buffer {
    return this.#open(nonceOf(id, SECTIONS), [wordOf(id)], sealed, `section ${id}`);
  }

  #seal(nonce: Buffer, associated: readonly Uint8Array[], plain: Uint8Array): Buffer {
    const cipher = createCipheriv(ALGORITHM, this.#key, nonce);
    cipher.setAAD(Buffer.concat([this.#place, ...associated]));
    const sealed = cipher.update(plain);
    cipher.final();
    return Buffer.concat([sealed, cipher.getAuthTag()]);
  }

  #open(nonce: Buffer, associated: readonly Uint8Array[], sealed: Uint8Array, what: string): Buffer {
    if (sealed.length < TAG_BYTES) throw damaged(this.#objectKey, `its ${what} is too short to be encrypted`);
    const decipher = createDecipheriv(ALGORITHM, this.#key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAAD(Buffer.concat([this.#place, ...associated]));
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    const plain = decipher.update(sealed.subarray(0, -TAG_BYTES));
    try {
      decipher.final();
    } catch (error) {
      throw damaged(this.#objectKey, `its ${what} is not the one that was encrypted for it`, { cause: error });
    }
    return plain;
  }
}

function wordOf(value: number): Buffer {
  const word = Buffer.alloc(4);
  word.writeUInt32LE(value);
  return word;
}

function nonceOf(first: number, second: number): Buffer {
  const nonce = Buffer.alloc(NONCE_BYTES);
  nonce.writeUInt32LE(first, 0);
  nonce.writeUInt32LE(second, 4);
  return nonce;
}
