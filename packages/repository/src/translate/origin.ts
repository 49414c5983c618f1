/** From which object of another repository a copy was made: by it a copy is recognised, and goes on. @packageDocumentation */
import type { Abortable } from '@keyframe/contracts';
import type { Keyring } from '../encryption/keyring.ts';
import type { WritingKeys } from '../encryption/writing-keys.ts';
import type { Fields, Json } from '../format/sealed-json.ts';

/** Member `origin` of what was copied from a repository with another id. */
export interface Origin {
  /** Id of the repository it was copied from. */
  readonly repository: string;
  /** Whose index key hides the identity; 0: none. */
  readonly generation: number;
  /** Of a SHA-256 that names the object there: what is stored in plain there must not be guessed by its hash here. Hexadecimal. */
  readonly identity: string;
}

/** `sha256`, hexadecimal, is what the source is known by. */
export function originOf(repository: string, sha256: string, keys: WritingKeys | undefined): Origin {
  const identity = keys?.index.walIdentity(sha256) ?? sha256;
  return { repository, generation: keys?.generation ?? 0, identity };
}

/** Whether a copy was made of what is known by that hash. @throws {KeyframeError} KEY_REQUIRED, KEY_WRONG */
export async function isFrom(
  origin: Origin | undefined,
  source: { readonly repository: string; readonly sha256: string },
  keyring: Keyring,
  options: Abortable,
): Promise<boolean> {
  if (origin?.repository !== source.repository) return false;
  const { generation, identity } = origin;
  if (generation === 0) return identity === source.sha256;
  return identity === (await keyring.index(generation, options)).walIdentity(source.sha256);
}

/** An object literal is JSON, an interface is not known to be. */
export const originJson = (origin: Origin | undefined): Json | undefined => origin && { ...origin };

/** @throws {KeyframeError} CORRUPT */
export function readOrigin(fields: Fields): Origin | undefined {
  if (!fields.has('origin')) return undefined;
  const origin = fields.object('origin');
  return {
    repository: origin.text('repository'),
    generation: origin.integer('generation'),
    identity: origin.text('identity'),
  };
}
