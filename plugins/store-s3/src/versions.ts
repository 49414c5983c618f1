import type { ObjectVersion as Version } from '@aws-sdk/client-s3';
import type { ObjectVersion, VersionsFacet } from '@keyframe/contracts';
import { abort, type Bucket } from './bucket.ts';
import { getObject, isObject, prefixIn } from './read.ts';
import { removeAll } from './remove.ts';
import { payer } from './request.ts';

/** Old versions, as a bucket with versioning keeps them. */
export function versionsOf(bucket: Bucket): VersionsFacet {
  return {
    async enabled({ signal } = {}) {
      const about = { action: 's3:GetBucketVersioning', bucket: true };
      const { Status } = await bucket.send(about, signal, ({ client, sdk }) =>
        client.send(new sdk.GetBucketVersioningCommand({ Bucket: bucket.name }), abort(signal)),
      );
      return Status === 'Enabled';
    },
    list: (prefix, { signal } = {}) => listVersions(bucket, prefix, signal),
    get: (key, version, options = {}) => getObject(bucket, key, options, version),
    delete: (versions, { signal } = {}) =>
      removeAll(
        bucket,
        versions.map(({ key, version }) => ({ Key: bucket.locate(key), VersionId: version })),
        signal,
      ),
  };
}

async function* listVersions(
  bucket: Bucket,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectVersion> {
  const place = { Bucket: bucket.name, Prefix: prefixIn(bucket, prefix), ...payer(bucket.options) };
  const about = { action: 's3:ListBucketVersions', bucket: true };
  for (let after: { KeyMarker?: string; VersionIdMarker?: string } = {}; ;) {
    const page = await bucket.send(about, signal, ({ client, sdk }) =>
      client.send(new sdk.ListObjectVersionsCommand({ ...place, ...after }), abort(signal)),
    );
    // versitygw begins a page with the entry that the marker names, which the page before ended with.
    const isNew = (found: Version): boolean =>
      found.Key !== after.KeyMarker || found.VersionId !== after.VersionIdMarker || after.KeyMarker === undefined;
    for (const found of (page.Versions ?? []).filter(isNew)) yield* told(bucket, found, false);
    for (const found of (page.DeleteMarkers ?? []).filter(isNew)) yield* told(bucket, found, true);
    signal?.throwIfAborted();
    if (page.IsTruncated !== true) return;
    after = {
      ...(page.NextKeyMarker !== undefined && { KeyMarker: page.NextKeyMarker }),
      ...(page.NextVersionIdMarker !== undefined && { VersionIdMarker: page.NextVersionIdMarker }),
    };
  }
}

/** None for what is not ours to tell of. */
function* told(bucket: Bucket, found: Version, deleted: boolean): Generator<ObjectVersion> {
  const { Key = '', VersionId = 'null', Size = 0, LastModified, IsLatest, StorageClass } = found;
  const key = Key.slice(bucket.options.prefix.length);
  if (!isObject(key)) return;
  yield {
    key,
    version: VersionId,
    sizeBytes: Size,
    modifiedAt: LastModified ?? new Date(0),
    latest: IsLatest === true,
    deleted,
    ...(StorageClass !== undefined && { storageClass: StorageClass }),
  };
}
