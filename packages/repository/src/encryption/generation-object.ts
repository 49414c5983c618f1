/** `keys/<generation>/generation.json`: what a generation is. @packageDocumentation */
import { timingSafeEqual } from 'node:crypto';
import { openSealedJson, sealJson } from '../format/sealed-json.ts';
import { damaged } from '../objects/damage.ts';
import type { IndexKeys } from './index-keys.ts';

/** Prefix of all of them. */
export const KEYS_PREFIX = 'keys/';

/** `generation.json`: a generation is in use once it is there. */
export interface GenerationObject {
  readonly generation: number;
  readonly createdAt: string;
  readonly plainBefore: boolean;
  /** X25519, raw. */
  readonly publicKey: Buffer;
  /** Under this generation's index key. */
  readonly seal: string;
  /** Under the index key of the generation before; empty for the first. */
  readonly chain: string;
}

/** Its key. */
export function generationKey(generation: number): string {
  return `${KEYS_PREFIX}${generation}/generation.json`;
}

/** Adds what proves a generation. */
export function sealGeneration(
  plain: Omit<GenerationObject, 'seal' | 'chain'>,
  own: IndexKeys,
  before: IndexKeys | undefined,
  repositoryId: string,
): GenerationObject {
  const texts = textsOf(plain, repositoryId);
  return { ...plain, seal: own.seal(...texts), chain: before?.seal(...texts) ?? '' };
}

/** @throws {KeyframeError} CORRUPT unless those index keys made it */
export function assertGeneration(
  object: GenerationObject,
  own: IndexKeys,
  before: IndexKeys | undefined,
  repositoryId: string,
): void {
  const expected = sealGeneration(object, own, before, repositoryId);
  const isProven = isSame(object.seal, expected.seal) && (before === undefined || isSame(object.chain, expected.chain));
  if (!isProven) throw damaged(generationKey(object.generation), 'it was not made by who holds the index key');
}

function isSame(one: string, other: string): boolean {
  const [a, b] = [Buffer.from(one), Buffer.from(other)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function textsOf(
  { generation, createdAt, plainBefore, publicKey }: Omit<GenerationObject, 'seal' | 'chain'>,
  repositoryId: string,
): string[] {
  return [repositoryId, String(generation), createdAt, String(plainBefore), publicKey.toString('hex')];
}

export function encodeGeneration({ publicKey, ...rest }: GenerationObject): Buffer {
  return sealJson({ ...rest, publicKey: publicKey.toString('hex') });
}

export function decodeGeneration(bytes: Buffer, key: string): GenerationObject {
  const fields = openSealedJson(bytes, key);
  const generation = fields.integer('generation');
  if (generationKey(generation) !== key) throw damaged(key, `it says that it is generation ${generation}`);
  return {
    generation,
    createdAt: fields.text('createdAt'),
    plainBefore: fields.boolean('plainBefore'),
    publicKey: Buffer.from(fields.text('publicKey'), 'hex'),
    seal: fields.text('seal'),
    chain: fields.text('chain'),
  };
}
