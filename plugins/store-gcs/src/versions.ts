import { ignoring, type VersionsFacet } from '@keyframe/contracts';
import { eachItem } from '@keyframe/http';
import type { Gcs } from './gcs.ts';
import { getObject, listResources } from './read.ts';
import { infoOf } from './resource.ts';

/** Removes an object, or one generation of it for good. An absent one is as good as removed. */
export async function deleteOne(
  gcs: Gcs,
  key: string,
  signal: AbortSignal | undefined,
  generation?: string,
): Promise<void> {
  await gcs
    .done({ method: 'DELETE', path: gcs.objectPath(key), query: { generation }, key, signal })
    .catch(ignoring('NOT_FOUND'));
}

/** Object Versioning: generations that are no longer live. There are no markers; a removed object has no live one. */
export function versionsFacet(gcs: Gcs): VersionsFacet {
  return {
    enabled: async ({ signal } = {}) => {
      const found = await gcs.json<{ readonly versioning?: { readonly enabled?: boolean } }>({
        method: 'GET',
        path: gcs.bucketPath,
        query: { fields: 'versioning' },
        signal,
      });
      return found.versioning?.enabled === true;
    },
    list: async function* (prefix, { signal } = {}) {
      for await (const { key, ...found } of listResources(gcs, prefix, signal, true)) {
        const version = found.generation ?? '';
        yield { ...infoOf(key, found), version, latest: found.timeDeleted === undefined, deleted: false };
      }
    },
    get: (key, version, how = {}) => getObject(gcs, key, how, version),
    delete: async (versions, { signal } = {}) => {
      for (const { key } of versions) gcs.nameOf(key);
      await eachItem(versions, gcs.options.connections, signal, ({ key, version }) =>
        deleteOne(gcs, key, signal, version),
      );
    },
  };
}
