import type { Abortable, Host, Store } from '@keyframe/contracts';
import { eachItem } from '@keyframe/http';
import { accessFacet } from './access.ts';
import { atRestFacet } from './at-rest.ts';
import { Gcs } from './gcs.ts';
import { lifecycleFacet } from './lifecycle.ts';
import type { GcsOptions } from './options.ts';
import { getObject, listObjects, statResource } from './read.ts';
import { replicationFacet } from './replication.ts';
import { infoOf } from './resource.ts';
import { retentionFacet } from './retention.ts';
import { tiersFacet } from './tiers.ts';
import { Uploads } from './upload.ts';
import { deleteOne, versionsFacet } from './versions.ts';

/** 5 TiB. */
const MAX_OBJECT_BYTES = 5 * 1024 ** 4;

/** A {@link Store} over a bucket of Google Cloud Storage. */
export function createGcsStore(options: GcsOptions, host: Pick<Host, 'now' | 'log'>): Store {
  const gcs = new Gcs(options, host);
  const uploads = new Uploads(gcs);
  return {
    capabilities: {
      conditionalPut: true,
      conditionalReplace: true,
      rangeRead: true,
      strongConsistency: true,
      maxObjectBytes: MAX_OBJECT_BYTES,
    },
    versions: versionsFacet(gcs),
    retention: retentionFacet(gcs),
    tiers: tiersFacet(gcs),
    lifecycle: lifecycleFacet(gcs),
    replication: replicationFacet(gcs),
    atRest: atRestFacet(gcs),
    access: accessFacet(options),
    location: {
      provider: 'gcp',
      account: options.project,
      region: options.region?.toLowerCase(),
      container: options.bucket,
    },
    put: (key, source, how = {}) => uploads.put(key, source, how),
    get: (key, how = {}) => getObject(gcs, key, how),
    stat: async (key, { signal }: Abortable = {}) => {
      const found = await statResource(gcs, key, signal);
      return found && infoOf(key, found);
    },
    list: (prefix, { signal }: Abortable = {}) => listObjects(gcs, prefix, signal),
    delete: async (keys, { signal }: Abortable = {}) => {
      for (const key of keys) gcs.nameOf(key);
      await eachItem(keys, options.connections, signal, (key) => deleteOne(gcs, key, signal));
    },
    close: async () => gcs.close(),
  };
}
