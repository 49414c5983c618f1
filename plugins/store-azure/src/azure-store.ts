import type { Abortable, Host, Store } from '@keyframe/contracts';
import { accessFacet } from './access.ts';
import { atRestFacet } from './at-rest.ts';
import { Azure } from './azure.ts';
import { removeAll } from './delete.ts';
import { lifecycleFacet } from './lifecycle.ts';
import type { AzureOptions } from './options.ts';
import { getObject, headOf, infoOfHead, listObjects } from './read.ts';
import { replicationFacet } from './replication.ts';
import { retentionFacet } from './retention.ts';
import { tagsFacet } from './tags.ts';
import { tiersFacet } from './tiers.ts';
import { Uploads } from './upload.ts';
import { versionsFacet } from './versions.ts';

/** Blocks of one object, at most. */
const MAX_BLOCKS = 50_000;
const MIB = 1024 * 1024;

/** A {@link Store} over a container of Azure Blob Storage. */
export function createAzureStore(options: AzureOptions, host: Pick<Host, 'now' | 'log'>): Store {
  const azure = new Azure(options, host);
  const uploads = new Uploads(azure);
  return {
    capabilities: {
      conditionalPut: true,
      conditionalReplace: true,
      rangeRead: true,
      strongConsistency: true,
      maxObjectBytes: options.partMiB * MIB * MAX_BLOCKS,
    },
    versions: versionsFacet(azure),
    retention: retentionFacet(azure),
    tiers: tiersFacet(azure),
    // Tags are for rules; without a way to set those, objects are moved by themselves.
    ...(options.management === undefined
      ? {}
      : { tags: tagsFacet(azure), lifecycle: lifecycleFacet(azure, options.management) }),
    replication: replicationFacet(azure),
    atRest: atRestFacet(azure),
    access: accessFacet(options, azure.account),
    location: {
      provider: 'azure',
      account: azure.account.name,
      region: options.region?.toLowerCase(),
      container: options.container,
    },
    put: (key, source, how = {}) => uploads.put(key, source, how),
    get: (key, how = {}) => getObject(azure, key, how),
    stat: async (key, { signal }: Abortable = {}) => {
      const found = await headOf(azure, key, signal);
      return found && infoOfHead(key, found);
    },
    list: (prefix, { signal }: Abortable = {}) => listObjects(azure, prefix, signal),
    delete: (keys, { signal }: Abortable = {}) =>
      removeAll(
        azure,
        keys.map((key) => ({ key })),
        signal,
      ),
    close: async () => azure.close(),
  };
}
