/**
 * Small JSON objects that prove their own bytes: the last member, on its own line, is the SHA-256 of what precedes.
 * @packageDocumentation
 */
import { hash } from 'node:crypto';
import { damaged, tooNew } from '../objects/damage.ts';

/** The newest format this release reads and writes. */
export const FORMAT = 1;

/** Values that have a JSON form. */
export type Json = string | number | boolean | null | readonly Json[] | { readonly [name: string]: Json | undefined };

const SEAL_START = '  "sha256": "';
/** Length of the seal that ends a sealed object. */
export const SEAL_BYTES: number = SEAL_START.length + 64 + '"\n}\n'.length;

/** Gives the line with a signature over everything before it. */
export type SignatureOf = (body: string) => string;

/** Renders `{"format": 1, …}` with its seal, and before it the signature, if any. */
export function sealJson(content: Readonly<Record<string, Json | undefined>>, signatureOf?: SignatureOf): Buffer {
  const body = `${JSON.stringify({ format: FORMAT, ...content }, null, 2).slice(0, -'\n}'.length)},\n`;
  const sealed = signatureOf === undefined ? body : body + signatureOf(body);
  return Buffer.from(`${sealed}${SEAL_START}${hash('sha256', sealed)}"\n}\n`);
}

/**
 * Checks the seal, then the format.
 * @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT
 */
export function openSealedJson(bytes: Buffer, key: string): Fields {
  const cut = bytes.length - SEAL_BYTES;
  if (cut < 0) throw damaged(key, 'it is too short');
  const body = bytes.subarray(0, cut);
  const expected = `${SEAL_START}${hash('sha256', body)}"\n}\n`;
  if (bytes.toString('latin1', cut) !== expected) throw damaged(key, 'its hash does not match its content');
  return parseFields(bytes, key);
}

/** Reads a JSON object whose bytes are already proven, and checks its format. */
export function parseFields(bytes: Buffer, key: string): Fields {
  let parsed: unknown;
  try {
    parsed = JSON.parse(bytes.toString('utf8'));
  } catch (error) {
    throw damaged(key, 'it is not JSON', { cause: error });
  }
  const fields = new Fields(parsed, key);
  const format = fields.integer('format');
  if (format > FORMAT) throw tooNew(key, `its format is ${format}, this release knows ${FORMAT}`);
  return fields;
}

/** Typed access to a parsed JSON object; unknown members are ignored, a wrong one is CORRUPT. */
export class Fields {
  readonly #value: Readonly<Record<string, unknown>>;
  readonly #key: string;

  constructor(value: unknown, key: string) {
    if (!isRecord(value)) throw damaged(key, 'it is no JSON object');
    this.#value = value;
    this.#key = key;
  }

  has(name: string): boolean {
    return this.#value[name] !== undefined;
  }

  text(name: string): string {
    const value = this.#value[name];
    return typeof value === 'string' ? value : this.#wrong(name);
  }

  /** A whole number, not negative. */
  integer(name: string): number {
    const value = this.#value[name];
    return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0 ? value : this.#wrong(name);
  }

  boolean(name: string): boolean {
    const value = this.#value[name];
    return typeof value === 'boolean' ? value : this.#wrong(name);
  }

  object(name: string): Fields {
    return new Fields(this.#value[name], this.#key);
  }

  list(name: string): Fields[] {
    const value = this.#value[name];
    return Array.isArray(value) ? value.map((item) => new Fields(item, this.#key)) : this.#wrong(name);
  }

  texts(name: string): string[] {
    const value = this.#value[name];
    const isText = (item: unknown): item is string => typeof item === 'string';
    return Array.isArray(value) && value.every(isText) ? value : this.#wrong(name);
  }

  /** One of the words this release knows. */
  word<const Word extends string>(name: string, words: readonly Word[]): Word {
    const value = this.text(name);
    const known = words.find((word) => word === value);
    if (known === undefined) throw tooNew(this.#key, `its ${name} is ${value}`);
    return known;
  }

  #wrong(name: string): never {
    throw damaged(this.#key, `its member ${name} is missing or of another kind`);
  }
}

function isRecord(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
