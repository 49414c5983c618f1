import type { Host, Store, StoreLocation } from '@keyframe/contracts';
import { accessOf } from './access.ts';
import { atRestOf } from './at-rest.ts';
import { Bucket } from './bucket.ts';
import { Conditions } from './conditions.ts';
import { lifecycleOf } from './lifecycle.ts';
import { isAws, type S3Options } from './options.ts';
import { Slabs } from './parts.ts';
import { putObject } from './put.ts';
import { getObject, listObjects, statObject } from './read.ts';
import { removeAll } from './remove.ts';
import { replicationOf } from './replication.ts';
import { retentionOf } from './retention.ts';
import { tagsOf } from './tags.ts';
import { tiersOf } from './tiers.ts';
import { versionsOf } from './versions.ts';

const MOST_PARTS = 10_000;

/** A {@link Store} over one bucket, or a folder of it. */
export function createS3Store(options: S3Options, host: Pick<Host, 'log' | 'now'>): Store {
  const bucket = new Bucket(options, host);
  const conditions = new Conditions(bucket);
  const place = { bucket, conditions, slabs: new Slabs(), unsettled: new Map<string, string>() };
  const versions = versionsOf(bucket);
  return {
    capabilities: {
      get conditionalPut() {
        return conditions.assumed.createOnly;
      },
      get conditionalReplace() {
        return conditions.assumed.replace;
      },
      rangeRead: true,
      strongConsistency: true,
      maxObjectBytes: options.partMiB * (1 << 20) * MOST_PARTS,
    },
    put: (key, source, how = {}) => putObject(place, key, source, how),
    get: (key, how = {}) => getObject(bucket, key, how),
    stat: (key, { signal } = {}) => statObject(bucket, key, signal),
    list: (prefix, { signal } = {}) => listObjects(bucket, prefix, signal),
    delete: (keys, { signal } = {}) =>
      removeAll(
        bucket,
        keys.map((key) => ({ Key: bucket.locate(key) })),
        signal,
      ),
    close: () => bucket.close(),
    versions,
    retention: retentionOf(bucket),
    tiers: tiersOf(bucket),
    tags: tagsOf(bucket),
    lifecycle: lifecycleOf(bucket),
    replication: replicationOf(bucket, versions),
    atRest: atRestOf(bucket),
    access: accessOf(options),
    location: locationOf(options),
  };
}

function locationOf(options: S3Options): StoreLocation {
  const { endpoint = '', region, roleArn, bucket } = options;
  const account = /^arn:[^:]*:iam::(\d+):/.exec(roleArn ?? '')?.[1];
  return {
    provider: isAws(options) ? 'aws' : `s3:${new URL(endpoint).host}`,
    container: bucket,
    ...(region !== undefined && { region }),
    ...(account !== undefined && { account }),
  };
}
