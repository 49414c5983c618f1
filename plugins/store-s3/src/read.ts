import { Readable } from 'node:stream';
import { crc32 } from 'node:zlib';
import type { GetObjectCommandOutput } from '@aws-sdk/client-s3';
import {
  assertObjectKey,
  type ByteStream,
  type GetOptions,
  hasCode,
  KeyframeError,
  type ObjectInfo,
} from '@keyframe/contracts';
import { abort, type Bucket, PROBE_KEY } from './bucket.ts';
import { type About, faultOf } from './faults.ts';
import { base64Of } from './parts.ts';
import { customerKey, payer, withHeader } from './request.ts';

/** Opens an object, or the part of it that `range` names; of one version where that is given. */
export async function getObject(
  bucket: Bucket,
  key: string,
  { range = { start: 0 }, signal }: GetOptions,
  version?: string,
): Promise<ByteStream> {
  const Key = bucket.locate(key);
  const about = { action: version === undefined ? 's3:GetObject' : 's3:GetObjectVersion', key };
  const { start, end } = range;
  // HTTP has no words for a range without bytes; that the object is there is asked all the same.
  const empty = end !== undefined && end <= start;
  const part = start > 0 || end !== undefined;
  const words = `bytes=${start}-${end === undefined ? '' : Math.max(start, end - 1)}`;
  try {
    const found = await bucket.send(about, signal, ({ client, sdk }) => {
      const command = new sdk.GetObjectCommand({
        Bucket: bucket.name,
        Key,
        ...payer(bucket.options),
        ...customerKey(bucket.options),
        ...(part && { Range: words }),
        ...(version !== undefined && { VersionId: version }),
      });
      // The SDK would check the sum itself if it knew that we asked, at the cost of one more stream.
      return client.send(withHeader(command, 'x-amz-checksum-mode', 'ENABLED'), abort(signal));
    });
    const body = found.Body as Readable;
    if (empty) return nothingOf(body);
    if (part) assertPart(key, found);
    return read({ bucket, about, body, expected: part ? undefined : checksumOf(found), signal });
  } catch (error) {
    if (!hasCode(error, 'NOT_FOUND', 'UNSUPPORTED')) throw error;
    if (error.details['reason'] === 'InvalidRange') return Readable.from([]); // all of it lies before
    if (error.code === 'NOT_FOUND') await bucket.assertExists(signal);
    throw error;
  }
}

function nothingOf(body: Readable): ByteStream {
  body.destroy();
  return Readable.from([]);
}

function assertPart(key: string, found: GetObjectCommandOutput): void {
  if (found.$metadata.httpStatusCode === 206 || found.ContentRange !== undefined) return;
  (found.Body as Readable).destroy();
  throw new KeyframeError('UNSUPPORTED', `object '${key}': the store gave the whole object instead of a part`);
}

/** What the bytes of a whole object must sum up to; unknown for one whose parts alone have sums. */
function checksumOf({ ChecksumCRC32, ContentLength }: GetObjectCommandOutput): string | undefined {
  return ContentLength === undefined || ChecksumCRC32?.includes('-') === true ? undefined : ChecksumCRC32;
}

interface Reading {
  readonly bucket: Bucket;
  readonly about: About;
  readonly body: Readable;
  readonly expected: string | undefined;
  readonly signal: AbortSignal | undefined;
}

async function* read({ bucket, about, body, expected, signal }: Reading): ByteStream {
  let sum = 0;
  try {
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      signal?.throwIfAborted();
      if (expected !== undefined) sum = crc32(chunk, sum);
      yield chunk;
    }
  } catch (error) {
    signal?.throwIfAborted();
    throw faultOf(error, about, bucket);
  } finally {
    body.destroy();
  }
  if (expected !== undefined && base64Of(sum) !== expected)
    throw new KeyframeError('CORRUPT', `object '${about.key ?? ''}': the bytes are not those that were stored`, {
      hint: 'Run `keyframe verify`; when it finds nothing, look for what changes bytes on the way to the store.',
      details: { key: about.key },
    });
}

/** Metadata of an object; `undefined` only when the bucket is there and the object is not. */
export async function statObject(
  bucket: Bucket,
  key: string,
  signal: AbortSignal | undefined,
): Promise<ObjectInfo | undefined> {
  const { options } = bucket;
  const Key = bucket.locate(key);
  try {
    const found = await bucket.send({ action: 's3:GetObject', key }, signal, ({ client, sdk }) =>
      client.send(
        new sdk.HeadObjectCommand({ Bucket: bucket.name, Key, ...payer(options), ...customerKey(options) }),
        abort(signal),
      ),
    );
    return {
      key,
      sizeBytes: found.ContentLength ?? 0,
      modifiedAt: found.LastModified ?? new Date(0),
      ...(found.ETag !== undefined && { version: found.ETag }),
      storageClass: found.StorageClass ?? 'STANDARD',
    };
  } catch (error) {
    if (!hasCode(error, 'NOT_FOUND')) throw error;
    await bucket.assertExists(signal);
    return undefined;
  }
}

/** The prefix as the bucket knows it. @throws {KeyframeError} INVALID_OPTION for one that leaves the store */
export function prefixIn({ options }: Bucket, prefix: string): string {
  const cut = prefix.lastIndexOf('/');
  if (cut >= 0) assertObjectKey(prefix.slice(0, cut));
  return options.prefix + prefix;
}

/** What ends in a slash is a folder that some console made. */
export const isObject = (key: string): boolean => key !== PROBE_KEY && key !== '' && !key.endsWith('/');

/** Objects under `prefix`, page by page, in the order of their keys. */
export async function* listObjects(
  bucket: Bucket,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo> {
  const { options } = bucket;
  const place = { Bucket: bucket.name, Prefix: prefixIn(bucket, prefix), ...payer(options) };
  for (let token: string | undefined; ;) {
    const after = token === undefined ? {} : { ContinuationToken: token };
    const page = await bucket.send({ action: 's3:ListBucket', bucket: true }, signal, ({ client, sdk }) =>
      client.send(new sdk.ListObjectsV2Command({ ...place, ...after }), abort(signal)),
    );
    for (const { Key = '', Size = 0, LastModified, ETag, StorageClass } of page.Contents ?? []) {
      const key = Key.slice(options.prefix.length);
      if (!isObject(key)) continue;
      yield {
        key,
        sizeBytes: Size,
        modifiedAt: LastModified ?? new Date(0),
        ...(ETag !== undefined && { version: ETag }),
        storageClass: StorageClass ?? 'STANDARD',
      };
      signal?.throwIfAborted();
    }
    if (page.IsTruncated !== true) return;
    token = page.NextContinuationToken;
  }
}
