import type { TagsFacet } from '@keyframe/contracts';
import { abort, type Bucket } from './bucket.ts';
import { payer } from './request.ts';

/** Tags of objects. */
export function tagsOf(bucket: Bucket): TagsFacet {
  const place = (key: string) => ({ Bucket: bucket.name, Key: bucket.locate(key), ...payer(bucket.options) });
  return {
    async of(key, { signal } = {}) {
      const { TagSet = [] } = await bucket.send({ action: 's3:GetObjectTagging', key }, signal, ({ client, sdk }) =>
        client.send(new sdk.GetObjectTaggingCommand(place(key)), abort(signal)),
      );
      return Object.fromEntries(TagSet.map(({ Key = '', Value = '' }) => [Key, Value]));
    },
    async set(key, tags, { signal } = {}) {
      const TagSet = Object.entries(tags).map(([Key, Value]) => ({ Key, Value }));
      await bucket.send({ action: 's3:PutObjectTagging', key }, signal, ({ client, sdk }) =>
        client.send(new sdk.PutObjectTaggingCommand({ ...place(key), Tagging: { TagSet } }), abort(signal)),
      );
    },
  };
}
