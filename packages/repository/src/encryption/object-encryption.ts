/** Member `encryption` of a container's header, as it is read. @packageDocumentation */
import type { Fields } from '../format/sealed-json.ts';
import type { SealedKey } from './keyring.ts';

/** What a header says; both parts are optional, the generation is not. */
export interface ObjectEncryption {
  readonly generation: number;
  readonly sealed: SealedKey | undefined;
  readonly salt: Buffer | undefined;
}

/** Undefined: the object is not encrypted. @throws {KeyframeError} CORRUPT */
export function encryptionOf(fields: Fields): ObjectEncryption | undefined {
  if (!fields.has('encryption')) return undefined;
  const member = fields.object('encryption');
  const generation = member.integer('generation');
  const bytes = member.has('key') ? Buffer.from(member.text('key'), 'base64') : undefined;
  return {
    generation,
    sealed: bytes === undefined ? undefined : { generation, bytes },
    salt: member.has('salt') ? Buffer.from(member.text('salt'), 'base64') : undefined,
  };
}
