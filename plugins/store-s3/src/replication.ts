import type { ReplicationRule, StorageClass } from '@aws-sdk/client-s3';
import { isKeyframeError, KeyframeError, type ReplicationFacet, type VersionsFacet } from '@keyframe/contracts';
import { abort, type Bucket } from './bucket.ts';

const ID = 'keyframe';

/** Replication by the bucket itself to the one that `replicateTo` names. */
export function replicationOf(bucket: Bucket, versions: VersionsFacet): ReplicationFacet {
  const plan: ReplicationFacet['plan'] = async ({ signal } = {}) => {
    if (bucket.options.replicateTo === undefined)
      return { document: '', problems: ['the store has no `replicateTo`, which says where the copies go'] };
    const kept = await versions.enabled({ signal });
    return {
      document: JSON.stringify(wanted(bucket), undefined, 2),
      problems: kept ? [] : [`bucket '${bucket.name}' keeps no versions, without which nothing can be copied`],
    };
  };
  return {
    async read({ signal } = {}) {
      const { Rules = [] } = await current(bucket, signal);
      return Rules.map(
        ({ ID: id = '', Status, Destination, Filter }) =>
          `${id}: ${Status === 'Enabled' ? 'copies' : 'does not copy'} '${Filter?.Prefix ?? ''}*' to ${Destination?.Bucket ?? '?'}`,
      );
    },
    plan,
    async apply({ signal } = {}) {
      const { problems } = await plan({ signal });
      if (problems.length > 0)
        throw new KeyframeError('INVALID_OPTION', problems.join('; '), {
          hint: 'Set `replicateTo` of the store and versioning of both buckets, then run `keyframe replication plan`.',
        });
      const { Role, Rules } = wanted(bucket);
      const others = ((await current(bucket, signal)).Rules ?? []).filter((rule) => rule.ID !== Rules[0]?.ID);
      await bucket.send({ action: 's3:PutReplicationConfiguration', bucket: true }, signal, ({ client, sdk }) =>
        client.send(
          new sdk.PutBucketReplicationCommand({
            Bucket: bucket.name,
            ReplicationConfiguration: { Role, Rules: [...others, ...Rules] },
          }),
          abort(signal),
        ),
      );
    },
  };
}

async function current(
  bucket: Bucket,
  signal: AbortSignal | undefined,
): Promise<{ readonly Rules?: readonly ReplicationRule[] | undefined }> {
  const about = { action: 's3:GetReplicationConfiguration', bucket: true };
  const found = await bucket
    .send(about, signal, ({ client, sdk }) =>
      client.send(new sdk.GetBucketReplicationCommand({ Bucket: bucket.name }), abort(signal)),
    )
    .catch((error: unknown) => {
      if (!isKeyframeError(error) || error.details['reason'] !== 'ReplicationConfigurationNotFoundError') throw error;
      return undefined;
    });
  return found?.ReplicationConfiguration ?? {};
}

/** Deletes are not copied: the copy is there for the day when somebody deletes what they should not. */
function wanted({ options }: Bucket): { readonly Role: string; readonly Rules: readonly ReplicationRule[] } {
  const { bucket = '', role = '', account, storageClass } = options.replicateTo ?? {};
  const rule: ReplicationRule = {
    ID: options.prefix === '' ? ID : `${ID}-${options.prefix.replaceAll(/[^\w-]+/g, '-')}`,
    Priority: 1,
    Status: 'Enabled',
    Filter: { Prefix: options.prefix },
    DeleteMarkerReplication: { Status: 'Disabled' },
    ...(options.sse?.kind === 'kms' && {
      SourceSelectionCriteria: { SseKmsEncryptedObjects: { Status: 'Enabled' } },
    }),
    Destination: {
      Bucket: `arn:aws:s3:::${bucket}`,
      ...(account !== undefined && { Account: account, AccessControlTranslation: { Owner: 'Destination' } }),
      ...(storageClass !== undefined && { StorageClass: storageClass as StorageClass }),
    },
  };
  return { Role: role, Rules: [rule] };
}
