import type { VersionsFacet } from '@keyframe/contracts';
import type { Azure } from './azure.ts';
import { removeAll } from './delete.ts';
import { getObject, listBlobs } from './read.ts';

/** Blob versioning. There are no markers; a removed object has no current version. */
export function versionsFacet(azure: Azure): VersionsFacet {
  return {
    // The account's setting is told by its management API only; an object shows what was set when it was written.
    enabled: async ({ signal } = {}) => {
      for await (const { versionId } of listBlobs(azure, '', signal, { include: 'versions', pageSize: 1 }))
        return versionId !== undefined;
      return false;
    },
    list: async function* (prefix, { signal } = {}) {
      for await (const { info, versionId, current } of listBlobs(azure, prefix, signal, { include: 'versions' }))
        yield { ...info, version: versionId ?? info.version ?? '', latest: current, deleted: false };
    },
    get: (key, version, how = {}) => getObject(azure, key, how, version),
    delete: (versions, { signal } = {}) => removeAll(azure, versions, signal),
  };
}
