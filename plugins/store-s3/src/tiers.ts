import type { HeadObjectCommandOutput, Tier } from '@aws-sdk/client-s3';
import type { StorageClass as ClassName } from '@aws-sdk/client-s3';
import {
  isKeyframeError,
  type StorageClass,
  type ThawSpeed,
  type TiersFacet,
  type TierState,
} from '@keyframe/contracts';
import { abort, type Bucket } from './bucket.ts';
import { customerKey, encryption, payer } from './request.ts';

/** What Amazon offers; other servers know some of these names, or names of their own. */
const CLASSES: readonly StorageClass[] = [
  { name: 'STANDARD', archived: false, minimumDays: 0 },
  { name: 'INTELLIGENT_TIERING', archived: false, minimumDays: 0 },
  { name: 'STANDARD_IA', archived: false, minimumDays: 30 },
  { name: 'ONEZONE_IA', archived: false, minimumDays: 30 },
  { name: 'GLACIER_IR', archived: false, minimumDays: 90 },
  { name: 'GLACIER', archived: true, thawHours: { expedited: 5 / 60, standard: 5, bulk: 12 }, minimumDays: 90 },
  { name: 'DEEP_ARCHIVE', archived: true, thawHours: { standard: 12, bulk: 48 }, minimumDays: 180 },
];

const SPEEDS: Readonly<Record<ThawSpeed, Tier>> = { expedited: 'Expedited', standard: 'Standard', bulk: 'Bulk' };

/** Asked for already, or readable anyway. */
const DONE = new Set(['RestoreAlreadyInProgress', 'ObjectAlreadyInActiveTierError', 'ObjectAlreadyInActiveTier']);

/** Storage classes and their thawing. */
export function tiersOf(bucket: Bucket): TiersFacet {
  const { options } = bucket;
  const place = (key: string) => ({ Bucket: bucket.name, Key: bucket.locate(key), ...payer(options) });
  return {
    classes: CLASSES,
    async state(key, { signal } = {}) {
      const found = await bucket.send({ action: 's3:GetObject', key }, signal, ({ client, sdk }) =>
        client.send(new sdk.HeadObjectCommand({ ...place(key), ...customerKey(options) }), abort(signal)),
      );
      return stateOf(found);
    },
    async move(key, storageClass, { signal } = {}) {
      const own = customerKey(options);
      await bucket.send({ action: 's3:PutObject', key }, signal, ({ client, sdk }) => {
        const command = new sdk.CopyObjectCommand({
          ...place(key),
          ...encryption(options),
          CopySource: `${bucket.name}/${bucket.locate(key).split('/').map(encodeURIComponent).join('/')}`,
          StorageClass: storageClass as ClassName,
          MetadataDirective: 'COPY',
          TaggingDirective: 'COPY',
          ...(own.SSECustomerKey !== undefined && {
            CopySourceSSECustomerAlgorithm: 'AES256',
            CopySourceSSECustomerKey: own.SSECustomerKey,
          }),
        });
        return client.send(command, abort(signal));
      });
    },
    async thaw(key, { days, speed }, { signal } = {}) {
      const request = { Days: days, GlacierJobParameters: { Tier: SPEEDS[speed] } };
      await bucket
        .send({ action: 's3:RestoreObject', key }, signal, ({ client, sdk }) =>
          client.send(new sdk.RestoreObjectCommand({ ...place(key), RestoreRequest: request }), abort(signal)),
        )
        .catch((error: unknown) => {
          if (!isKeyframeError(error) || !DONE.has(String(error.details['reason']))) throw error;
        });
    },
  };
}

/** `x-amz-restore` says whether a thaw runs, or until when its copy can be read. */
function stateOf({ StorageClass: name = 'STANDARD', Restore = '', ArchiveStatus }: HeadObjectCommandOutput): TierState {
  const archived = ArchiveStatus !== undefined || CLASSES.find((known) => known.name === name)?.archived === true;
  const thawing = Restore.includes('ongoing-request="true"');
  const until = Date.parse(/expiry-date="([^"]+)"/.exec(Restore)?.[1] ?? '');
  const thawed = Restore.includes('ongoing-request="false"');
  return {
    storageClass: name,
    readable: !archived || thawed,
    thawing,
    ...(thawed && Number.isFinite(until) && { readableUntil: new Date(until) }),
  };
}
