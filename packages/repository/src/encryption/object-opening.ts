import { hasCode } from '@keyframe/contracts';
import type { ContainerKind } from '../format/container.ts';
import type { Fields } from '../format/sealed-json.ts';
import { damaged } from '../objects/damage.ts';
import type { Keyring } from './keyring.ts';
import type { ObjectCipher } from './object-cipher.ts';
import { encryptionOf } from './object-encryption.ts';

/** How the frames of one object are read. */
export interface ObjectOpening {
  readonly cipher: ObjectCipher | undefined;
  /** What the header says of a WAL object's content; empty for others. */
  readonly identity: string;
  readonly identityOf: (sha256: string) => string;
}

/** Undefined: the object is encrypted, and this process has no key for it. @throws {KeyframeError} CORRUPT */
export async function openingFor(
  header: Fields,
  kind: ContainerKind,
  key: string,
  keyring: Keyring | undefined,
  signal: AbortSignal | undefined,
): Promise<ObjectOpening | undefined> {
  const encryption = encryptionOf(header);
  if (encryption === undefined) {
    const identity = kind === 'wal' ? header.text('sha256') : '';
    return { cipher: undefined, identity, identityOf: (sha256) => sha256 };
  }
  if (keyring === undefined) return undefined;
  const { generation, sealed, salt } = encryption;
  try {
    if (kind === 'manifest') {
      if (salt === undefined) throw damaged(key, 'its header names no salt');
      const cipher = (await keyring.index(generation, { signal })).cipher(key, salt);
      return { cipher, identity: '', identityOf: (sha256) => sha256 };
    }
    const isIndexed = kind === 'wal' && salt !== undefined;
    if (sealed === undefined && !isIndexed) throw damaged(key, 'its header has no data key');
    const cipher =
      sealed === undefined
        ? (await keyring.index(generation, { signal })).cipher(key, salt ?? Buffer.alloc(0))
        : await keyring.data(sealed, key, { signal });
    if (kind === 'pack' || kind === 'index') return { cipher, identity: '', identityOf: (sha256) => sha256 };
    const index = await keyring.index(generation, { signal });
    return { cipher, identity: header.text('hmac'), identityOf: (sha256) => index.walIdentity(sha256) };
  } catch (error) {
    if (!hasCode(error, 'KEY_REQUIRED', 'KEY_WRONG')) throw error;
    return undefined;
  }
}
