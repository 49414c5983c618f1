import type { AtRest, AtRestFacet } from '@keyframe/contracts';
import { abort, type Bucket } from './bucket.ts';
import { customerKey, payer } from './request.ts';

const METHODS: Readonly<Record<string, string>> = {
  AES256: 'SSE-S3',
  'aws:kms': 'SSE-KMS',
  'aws:kms:dsse': 'DSSE-KMS',
};

/** Encryption by the store. */
export function atRestOf(bucket: Bucket): AtRestFacet {
  const { options } = bucket;
  const wanted = wantedOf(bucket);
  return {
    ...(wanted !== undefined && { wanted }),
    async of(key, { signal } = {}) {
      const place = { Bucket: bucket.name, Key: bucket.locate(key), ...payer(options), ...customerKey(options) };
      const found = await bucket.send({ action: 's3:GetObject', key }, signal, ({ client, sdk }) =>
        client.send(new sdk.HeadObjectCommand(place), abort(signal)),
      );
      if (found.SSECustomerAlgorithm !== undefined) return { method: 'SSE-C' };
      if (found.ServerSideEncryption === undefined) return undefined;
      const method = METHODS[found.ServerSideEncryption] ?? found.ServerSideEncryption;
      return { method, ...(found.SSEKMSKeyId !== undefined && { keyId: found.SSEKMSKeyId }) };
    },
    matches: (found) => wanted === undefined || (found.method === wanted.method && sameKey(found.keyId, wanted.keyId)),
  };
}

function wantedOf({ options: { sse } }: Bucket): AtRest | undefined {
  if (sse === undefined) return undefined;
  if (sse.kind === 's3') return { method: 'SSE-S3' };
  if (sse.kind === 'customer') return { method: 'SSE-C' };
  return { method: 'SSE-KMS', ...(sse.key !== undefined && { keyId: sse.key }) };
}

/** The store names keys by their ARN. What an alias stands for only KMS could tell. */
function sameKey(found: string | undefined, wanted: string | undefined): boolean {
  if (wanted === undefined || found === undefined || found === wanted) return true;
  if (wanted.includes('alias/')) return true;
  return found.endsWith(`/${wanted}`) || found.endsWith(`:${wanted}`);
}
