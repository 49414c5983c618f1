/** `keys/<generation>/<slot>-<n>`: the secrets of generations, wrapped. @packageDocumentation */
import { createCipheriv, createDecipheriv } from 'node:crypto';
import { ByteReader, ByteWriter } from '../format/bytes.ts';
import { openSealedJson, sealJson } from '../format/sealed-json.ts';
import { damaged } from '../objects/damage.ts';
import { KEYS_PREFIX } from './generation-object.ts';
import { associate, TAG_BYTES } from './object-cipher.ts';
import { KEY_BYTES } from './sealed-key.ts';

/** A slot key wraps one bundle. */
const NONCE: Uint8Array = new Uint8Array(12);

/** What a generation keeps secret. */
export interface GenerationSecrets {
  readonly generation: number;
  readonly privateKey: Uint8Array;
  readonly indexKey: Uint8Array;
}

/** A slot that is in use. */
export interface SlotObject {
  readonly key: string;
  readonly generation: number;
  readonly slot: string;
  readonly number: number;
  readonly encryptor: string;
  readonly keyId: string;
  readonly asymmetric: boolean;
  readonly createdAt: string;
  /** Of the generation it was made for. */
  readonly publicKey: Buffer;
  /** The slot key, wrapped by the encryptor. */
  readonly wrapped: Buffer;
  /** Secrets of this generation and all before it, under the slot key. */
  readonly bundle: Buffer;
}

export function slotKeyName(generation: number, slot: string, number: number): string {
  return `${KEYS_PREFIX}${generation}/${slot}-${number}`;
}

export function encodeSlot({ publicKey, wrapped, bundle, ...rest }: Omit<SlotObject, 'key'>): Buffer {
  return sealJson({
    ...rest,
    publicKey: publicKey.toString('hex'),
    wrapped: wrapped.toString('base64'),
    bundle: bundle.toString('base64'),
  });
}

/** A slot that is out of use. */
export function encodeRemoval(generation: number, slot: string, number: number, removedAt: string): Buffer {
  return sealJson({ generation, slot, number, removedAt });
}

/** Undefined: the slot is out of use. */
export function decodeSlot(bytes: Buffer, key: string): SlotObject | undefined {
  const fields = openSealedJson(bytes, key);
  const place = {
    generation: fields.integer('generation'),
    slot: fields.text('slot'),
    number: fields.integer('number'),
  };
  if (slotKeyName(place.generation, place.slot, place.number) !== key)
    throw damaged(key, `it says that it is slot ${place.slot} of generation ${place.generation}`);
  if (fields.has('removedAt')) return undefined;
  return {
    key,
    ...place,
    encryptor: fields.text('encryptor'),
    keyId: fields.text('keyId'),
    asymmetric: fields.boolean('asymmetric'),
    createdAt: fields.text('createdAt'),
    publicKey: Buffer.from(fields.text('publicKey'), 'hex'),
    wrapped: Buffer.from(fields.text('wrapped'), 'base64'),
    bundle: Buffer.from(fields.text('bundle'), 'base64'),
  };
}

/** Encrypts secrets under a new slot key. */
export function sealBundle(
  slotKey: Uint8Array,
  secrets: readonly GenerationSecrets[],
  place: { readonly repositoryId: string; readonly key: string },
): Buffer {
  const writer = new ByteWriter(128);
  for (const { generation, privateKey, indexKey } of secrets) {
    writer.u32(generation);
    writer.bytes(privateKey);
    writer.bytes(indexKey);
  }
  const cipher = createCipheriv('aes-256-gcm', slotKey, NONCE).setAAD(associate(place.repositoryId, place.key));
  const sealed = cipher.update(writer.take());
  cipher.final();
  return Buffer.concat([sealed, cipher.getAuthTag()]);
}

/** @throws {KeyframeError} CORRUPT */
export function openBundle(
  slotKey: Uint8Array,
  { bundle, key }: Pick<SlotObject, 'bundle' | 'key'>,
  repositoryId: string,
): GenerationSecrets[] {
  const reader = new ByteReader(decrypted(slotKey, bundle, associate(repositoryId, key), key), key);
  const secrets: GenerationSecrets[] = [];
  while (reader.left > 0)
    secrets.push({
      generation: reader.u32(),
      privateKey: Uint8Array.from(reader.bytes(KEY_BYTES)),
      indexKey: Uint8Array.from(reader.bytes(KEY_BYTES)),
    });
  return secrets;
}

function decrypted(slotKey: Uint8Array, bundle: Buffer, place: Buffer, key: string): Buffer {
  if (slotKey.length !== KEY_BYTES || bundle.length < TAG_BYTES) throw damaged(key, 'its key has another length');
  const decipher = createDecipheriv('aes-256-gcm', slotKey, NONCE, { authTagLength: TAG_BYTES });
  decipher.setAAD(place).setAuthTag(bundle.subarray(-TAG_BYTES));
  try {
    return Buffer.concat([decipher.update(bundle.subarray(0, -TAG_BYTES)), decipher.final()]);
  } catch (error) {
    throw damaged(key, 'its keys are not the ones that were wrapped', { cause: error });
  }
}
