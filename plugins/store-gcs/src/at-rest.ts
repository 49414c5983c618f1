import { createHash } from 'node:crypto';
import { type AtRest, type AtRestFacet, KeyframeError } from '@keyframe/contracts';
import type { Gcs } from './gcs.ts';
import { statResource } from './read.ts';

/** CMEK, CSEK, or Google's own keys: every object is encrypted. */
export function atRestFacet(gcs: Gcs): AtRestFacet {
  const wanted = wantedOf(gcs);
  return {
    wanted,
    of: async (key, { signal } = {}) => {
      const found = await statResource(gcs, key, signal);
      if (found === undefined)
        throw new KeyframeError('NOT_FOUND', `object '${key}' does not exist`, { details: { key } });
      const own = found.customerEncryption?.keySha256;
      if (own !== undefined) return { method: 'CSEK', keyId: own };
      return found.kmsKeyName === undefined
        ? { method: 'Google' }
        : { method: 'CMEK', keyId: withoutVersion(found.kmsKeyName) };
    },
    matches: (found) =>
      wanted === undefined ||
      (found.method === wanted.method && withoutVersion(found.keyId ?? '') === (wanted.keyId ?? '')),
  };
}

function wantedOf({ options: { kmsKey, encryptionKey } }: Gcs): AtRest | undefined {
  if (kmsKey !== undefined) return { method: 'CMEK', keyId: kmsKey };
  if (encryptionKey === undefined) return undefined;
  const key = Buffer.from(encryptionKey.reveal(), 'base64');
  return { method: 'CSEK', keyId: createHash('sha256').update(key).digest('base64') };
}

/** Objects name the version of the key, options the key. */
const withoutVersion = (name: string): string => name.replace(/\/cryptoKeyVersions\/\d+$/, '');
