import { type Abortable, isKeyframeError, type RetentionFacet } from '@keyframe/contracts';
import { abort, type Bucket } from './bucket.ts';
import { payer } from './request.ts';

/** How servers say that a bucket or an object has no lock. */
const UNLOCKED = new Set([
  'ObjectLockConfigurationNotFoundError',
  'NoSuchObjectLockConfiguration',
  'InvalidRequest',
  'InvalidBucketState',
  'NotImplemented',
]);

const unlocked = (error: unknown): undefined => {
  if (!isKeyframeError(error) || !UNLOCKED.has(String(error.details['reason']))) throw error;
};

/** Object Lock. */
export function retentionOf(bucket: Bucket): RetentionFacet {
  const { options } = bucket;
  const read = async (key: string, version: string | undefined, signal: AbortSignal | undefined) => {
    const place = { Bucket: bucket.name, Key: bucket.locate(key), ...payer(options) };
    const found = await bucket
      .send({ action: 's3:GetObjectRetention', key }, signal, ({ client, sdk }) =>
        client.send(
          new sdk.GetObjectRetentionCommand({ ...place, ...(version !== undefined && { VersionId: version }) }),
          abort(signal),
        ),
      )
      .catch(unlocked);
    return found?.Retention;
  };
  return {
    async enabled({ signal }: Abortable = {}) {
      const about = { action: 's3:GetBucketObjectLockConfiguration', bucket: true };
      const found = await bucket
        .send(about, signal, ({ client, sdk }) =>
          client.send(new sdk.GetObjectLockConfigurationCommand({ Bucket: bucket.name }), abort(signal)),
        )
        .catch(unlocked);
      return found?.ObjectLockConfiguration?.ObjectLockEnabled === 'Enabled';
    },
    until: async (key, { signal } = {}) => (await read(key, undefined, signal))?.RetainUntilDate,
    async extend(key, until, { signal, version } = {}) {
      const now = await read(key, version, signal);
      if (now?.RetainUntilDate !== undefined && now.RetainUntilDate >= until) return;
      const mode = options.lockMode === 'compliance' ? 'COMPLIANCE' : 'GOVERNANCE';
      await bucket.send({ action: 's3:PutObjectRetention', key }, signal, ({ client, sdk }) =>
        client.send(
          new sdk.PutObjectRetentionCommand({
            Bucket: bucket.name,
            Key: bucket.locate(key),
            ...payer(options),
            ...(version !== undefined && { VersionId: version }),
            Retention: { Mode: now?.Mode ?? mode, RetainUntilDate: until },
          }),
          abort(signal),
        ),
      );
    },
  };
}
