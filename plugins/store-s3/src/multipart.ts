import type { CompletedPart } from '@aws-sdk/client-s3';
import type { ObjectInfo } from '@keyframe/contracts';
import { abort } from './bucket.ts';
import { base64Of, type Part, type PartReader, type Slabs } from './parts.ts';
import { customerKey, payer } from './request.ts';
import { bodyOf, conditionsOf, type Put, sealed, wanted } from './write.ts';

const MIB = 1 << 20;
/** An upload that failed is taken away within this time, or left to the bucket's own rule. */
const CLEANING_MS = 15_000;

/** One upload in parts. */
interface Upload {
  readonly put: Put;
  readonly reader: PartReader;
  readonly slabs: Slabs;
  readonly conditional: boolean;
}

/** Sends an object in parts, a few at a time; until the last request nothing of it is visible. */
export async function putParts(upload: Upload, first: Part): Promise<ObjectInfo> {
  const { put, reader, conditional } = upload;
  const { bucket, key, name, how } = put;
  const { options } = bucket;
  const id = await begin(put);
  try {
    const { parts, sizeBytes } = await sendParts(upload, first, id);
    const { ETag } = await bucket.send({ action: 's3:PutObject', key }, how.signal, ({ client, sdk }) =>
      client.send(
        new sdk.CompleteMultipartUploadCommand({
          Bucket: bucket.name,
          Key: name,
          UploadId: id,
          MultipartUpload: { Parts: parts },
          ...payer(options),
          ...customerKey(options),
          ...conditionsOf(put, conditional),
          ...(options.checksums === 'crc32' && {
            ChecksumCRC32: base64Of(reader.crc32),
            ChecksumType: 'FULL_OBJECT',
          }),
        }),
        abort(how.signal),
      ),
    );
    return { key, sizeBytes, modifiedAt: bucket.host.now(), version: ETag ?? '' };
  } catch (error) {
    await abandon(put, id);
    throw error;
  }
}

async function begin(put: Put): Promise<string> {
  const { bucket, key, name, how } = put;
  const { UploadId } = await bucket.send({ action: 's3:PutObject', key }, how.signal, ({ client, sdk }) =>
    client.send(
      new sdk.CreateMultipartUploadCommand({
        ...wanted(put),
        Bucket: bucket.name,
        Key: name,
        ...(bucket.options.checksums === 'crc32' && { ChecksumAlgorithm: 'CRC32', ChecksumType: 'FULL_OBJECT' }),
      }),
      abort(how.signal),
    ),
  );
  return UploadId ?? '';
}

/** Reads a part only when there is room for it. The first fault ends the others. */
async function sendParts(
  { put, reader, slabs }: Upload,
  first: Part,
  id: string,
): Promise<{ parts: CompletedPart[]; sizeBytes: number }> {
  const { options } = put.bucket;
  const stop = new AbortController();
  const signal = put.how.signal === undefined ? stop.signal : AbortSignal.any([put.how.signal, stop.signal]);
  const parts: CompletedPart[] = [];
  const running = new Set<Promise<void>>();
  let sizeBytes = 0;
  let failed: { readonly error: unknown } | undefined;
  try {
    for (let number = 1, last = false; !last; number += 1) {
      // A binding of its own: its memory is given back when it was sent, and the next part is being read by then.
      const part = number === 1 ? first : await reader.next(options.partMiB * MIB);
      ({ last } = part);
      sizeBytes += part.sizeBytes;
      const sending = sendPart(put, { part, number, id }, signal).then(
        (sent) => {
          parts.push(sent);
          return slabs.give(part);
        },
        (error: unknown) => {
          failed ??= { error };
        },
      );
      running.add(sending);
      void sending.finally(() => running.delete(sending));
      if (running.size >= options.concurrency) await Promise.race(running);
      if (failed !== undefined) break;
    }
    await Promise.all(running);
  } finally {
    stop.abort();
    await Promise.all(running);
  }
  if (failed !== undefined) throw failed.error;
  return { parts: parts.toSorted((a, b) => (a.PartNumber ?? 0) - (b.PartNumber ?? 0)), sizeBytes };
}

async function sendPart(
  { bucket, key, name }: Put,
  { part, number, id }: { readonly part: Part; readonly number: number; readonly id: string },
  signal: AbortSignal,
): Promise<CompletedPart> {
  const { options } = bucket;
  const checksum = options.checksums === 'crc32' ? { ChecksumCRC32: base64Of(part.crc32) } : {};
  const { ETag } = await bucket.send({ action: 's3:PutObject', key }, signal, ({ client, sdk }) => {
    const command = new sdk.UploadPartCommand({
      Bucket: bucket.name,
      Key: name,
      UploadId: id,
      PartNumber: number,
      Body: bodyOf(part),
      ContentLength: part.sizeBytes,
      ...payer(options),
      ...customerKey(options),
      ...checksum,
    });
    return client.send(sealed(command, part), abort(signal));
  });
  return { PartNumber: number, ETag, ...checksum };
}

/** Parts of an upload that is not finished cost money and are in no listing. Goes on when its caller was aborted. */
async function abandon({ bucket, key, name }: Put, id: string): Promise<void> {
  const signal = AbortSignal.timeout(CLEANING_MS);
  const about = { action: 's3:AbortMultipartUpload', key };
  await bucket
    .send(about, signal, ({ client, sdk }) =>
      client.send(
        new sdk.AbortMultipartUploadCommand({ Bucket: bucket.name, Key: name, UploadId: id, ...payer(bucket.options) }),
        abort(signal),
      ),
    )
    .catch((error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error);
      bucket.host.log.debug('an unfinished upload stays until the bucket removes it', { key, reason });
    });
}
