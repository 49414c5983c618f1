import type { Json } from '../format/sealed-json.ts';
import type { IndexKeys } from './index-keys.ts';
import { ObjectCipher } from './object-cipher.ts';
import { sealNewKey } from './sealed-key.ts';

/** What an object is begun with. */
export interface NewObject {
  /** Member `encryption` of its header. */
  readonly header: { readonly [name: string]: Json };
  /** For its frames. */
  readonly frames: ObjectCipher;
}

/** Keys for writing: new ones for each object. */
export class WritingKeys {
  readonly index: IndexKeys;
  readonly #publicKey: Uint8Array;
  readonly #repositoryId: string;

  constructor(index: IndexKeys, publicKey: Uint8Array, repositoryId: string) {
    this.index = index;
    this.#publicKey = publicKey;
    this.#repositoryId = repositoryId;
  }

  get generation(): number {
    return this.index.generation;
  }

  /** An object whose content only a private key opens. */
  data(objectKey: string): NewObject & { readonly sealed: Buffer } {
    const { dataKey, sealed } = sealNewKey(this.#publicKey, this.#repositoryId, objectKey);
    const header = { generation: this.generation, key: sealed.toString('base64') };
    return { header, sealed, frames: new ObjectCipher(this.generation, dataKey, this.#repositoryId, objectKey) };
  }

  /** The same with a tail that the index key opens. */
  pack(objectKey: string): NewObject & { readonly sealed: Buffer; readonly tail: ObjectCipher } {
    const salt = this.index.newSalt();
    const data = this.data(objectKey);
    const header = { ...data.header, salt: salt.toString('base64') };
    return { ...data, header, tail: this.index.cipher(objectKey, salt) };
  }

  /** An object that the index key opens. */
  indexed(objectKey: string): NewObject {
    const salt = this.index.newSalt();
    const header = { generation: this.generation, salt: salt.toString('base64') };
    return { header, frames: this.index.cipher(objectKey, salt) };
  }
}
