import { type AtRest, type AtRestFacet } from '@keyframe/contracts';
import type { Azure } from './azure.ts';
import { present } from './present.ts';

/** A customer's key, an encryption scope, or Microsoft's own keys: every object is encrypted. */
export function atRestFacet(azure: Azure): AtRestFacet {
  const { encryptionScope } = azure.options;
  const own = azure.encryptionHeaders['x-ms-encryption-key-sha256'];
  const wanted: AtRest | undefined =
    own === undefined
      ? encryptionScope === undefined
        ? undefined
        : { method: 'scope', keyId: encryptionScope }
      : { method: 'CPK', keyId: own };
  return {
    wanted,
    of: async (key, { signal } = {}) => {
      const head = await present(azure, key, signal);
      const keyHash = head['x-ms-encryption-key-sha256'];
      const scope = head['x-ms-encryption-scope'];
      if (keyHash !== undefined) return { method: 'CPK', keyId: String(keyHash) };
      if (scope !== undefined) return { method: 'scope', keyId: String(scope) };
      return head['x-ms-server-encrypted'] === 'true' ? { method: 'Microsoft' } : undefined;
    },
    matches: (found) => wanted === undefined || (found.method === wanted.method && found.keyId === wanted.keyId),
  };
}
