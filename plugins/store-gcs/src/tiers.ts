import { KeyframeError, type StorageClass, type TiersFacet } from '@keyframe/contracts';
import { type Gcs, keyHeaders } from './gcs.ts';
import { statResource } from './read.ts';

/** Every class is read at once; the cold ones charge for it and for a least time. */
const CLASSES: readonly StorageClass[] = [
  { name: 'STANDARD', archived: false, minimumDays: 0 },
  { name: 'NEARLINE', archived: false, minimumDays: 30 },
  { name: 'COLDLINE', archived: false, minimumDays: 90 },
  { name: 'ARCHIVE', archived: false, minimumDays: 365 },
];

/** A rewrite of a large object between classes takes several requests. */
const REWRITES = 10_000;

/** Storage classes. Nothing needs thawing. */
export function tiersFacet(gcs: Gcs): TiersFacet {
  const stateOf: TiersFacet['state'] = async (key, { signal } = {}) => {
    const found = await statResource(gcs, key, signal);
    if (found === undefined)
      throw new KeyframeError('NOT_FOUND', `object '${key}' does not exist`, { details: { key } });
    return { storageClass: found.storageClass ?? 'STANDARD', readable: true, thawing: false };
  };
  return {
    classes: CLASSES,
    state: stateOf,
    move: (key, storageClass, { signal } = {}) => rewrite(gcs, key, storageClass, signal),
    thaw: async (key, _how, options) => void (await stateOf(key, options)),
  };
}

/** Bytes, metadata and key stay; the generation changes. */
async function rewrite(gcs: Gcs, key: string, storageClass: string, signal: AbortSignal | undefined): Promise<void> {
  const found = await statResource(gcs, key, signal);
  if (found === undefined) throw new KeyframeError('NOT_FOUND', `object '${key}' does not exist`, { details: { key } });
  if (found.storageClass === storageClass) return;
  const { bucket, kmsKey } = gcs.options;
  const target = `${gcs.objectPath(key)}/rewriteTo/b/${encodeURIComponent(bucket)}/o/${encodeURIComponent(gcs.nameOf(key))}`;
  let rewriteToken: string | undefined;
  for (let round = 0; round < REWRITES; round += 1) {
    const answer = await gcs.json<{ readonly done?: boolean; readonly rewriteToken?: string }>({
      method: 'POST',
      path: target,
      query: {
        rewriteToken,
        sourceGeneration: found.generation,
        ifGenerationMatch: found.generation,
        destinationKmsKeyName: kmsKey,
        fields: 'done,rewriteToken',
      },
      headers: { ...gcs.encryptionHeaders, ...keyHeaders('x-goog-copy-source-', gcs.options) },
      json: { storageClass, contentType: 'application/octet-stream', metadata: found.metadata ?? {} },
      key,
      signal,
    });
    if (answer.done === true) return;
    rewriteToken = answer.rewriteToken;
  }
  throw new KeyframeError('UNAVAILABLE', `object '${key}' does not reach the class ${storageClass}`);
}
