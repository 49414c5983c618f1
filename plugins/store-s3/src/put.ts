import { randomUUID } from 'node:crypto';
import { type ByteSource, hasCode, KeyframeError, type ObjectInfo, type PutOptions } from '@keyframe/contracts';
import { abortable, openExact } from '@keyframe/contracts/streams';
import { abort, type Bucket } from './bucket.ts';
import type { Conditions } from './conditions.ts';
import { isPrecondition, isUnsettled } from './faults.ts';
import { putParts } from './multipart.ts';
import { base64Of, type Part, PartReader, type Slabs } from './parts.ts';
import { customerKey, payer } from './request.ts';
import { ATTEMPT, bodyOf, conditionsOf, isHashed, type Put, sealed, wanted } from './write.ts';

const MIB = 1 << 20;

/** As many attempts are remembered as could be under way at once, and more. */
const REMEMBERED = 1_000;

/** Where objects are put, and what is known of earlier attempts. */
export interface PutPlace {
  readonly bucket: Bucket;
  readonly conditions: Conditions;
  readonly slabs: Slabs;
  /** Attempts by key of which nobody could say what came of them: the next one finds out. */
  readonly unsettled: Map<string, string>;
}

/** Stores an object: in one request where it fits into a part, else in parts. */
export async function putObject(
  place: PutPlace,
  key: string,
  source: ByteSource,
  how: PutOptions,
): Promise<ObjectInfo> {
  const { bucket, conditions, slabs, unsettled } = place;
  const earlier = how.ifAbsent === true ? unsettled.get(key) : undefined;
  const put: Put = {
    bucket,
    key,
    name: bucket.locate(key),
    how,
    attempt: earlier ?? randomUUID(),
    repeated: earlier !== undefined,
  };
  how.signal?.throwIfAborted();
  const { options } = bucket;
  const input = abortable(openExact(source), how.signal);
  const reader = new PartReader(input, slabs, isHashed(bucket));
  try {
    // The proof that conditions are kept takes a round trip, in which the bytes are made.
    const part = reader.next(options.partMiB * MIB);
    const [conditional, first] = await Promise.all([isConditional(put, conditions), part]);
    if (conditional && !first.last) await refuseExisting(put);
    const send = (): Promise<ObjectInfo> =>
      first.last ? putWhole(put, first, { conditional, slabs }) : putParts({ put, reader, slabs, conditional }, first);
    const info = await settled(put, conditional, send);
    unsettled.delete(key);
    return info;
  } catch (error) {
    const open = isUnsettled(error) || (put.repeated && hasCode(error, 'UNAVAILABLE'));
    if (how.ifAbsent === true && open) unsettled.set(key, put.attempt);
    else unsettled.delete(key);
    const [oldest] = unsettled.keys();
    if (unsettled.size > REMEMBERED && oldest !== undefined) unsettled.delete(oldest);
    throw error;
  } finally {
    await reader.close();
  }
}

/** Whether the request itself is to say the condition. Where the server would not keep it we look first. */
async function isConditional(put: Put, conditions: Conditions): Promise<boolean> {
  const { ifAbsent, ifMatch } = put.how;
  if (ifMatch !== undefined) {
    if (await conditions.replace()) return true;
    throw new KeyframeError('UNSUPPORTED', `object '${put.key}': the store has no conditional replace`);
  }
  if (ifAbsent !== true) return false;
  if (await conditions.createOnly()) return true;
  await refuseExisting(put);
  return false;
}

/** Spares the sending of what could not be stored; where the store keeps no conditions, all there is. */
async function refuseExisting(put: Put): Promise<void> {
  if (put.how.ifAbsent === true && (await head(put)) !== undefined) throw taken(put);
}

const taken = ({ key }: Put, cause?: unknown): KeyframeError =>
  new KeyframeError('ALREADY_EXISTS', `object '${key}' already exists`, { cause, details: { key } });

/**
 * What came of a write that was conditional. A connection that breaks may have kept back a refusal as well as a success:
 * the object itself tells, since it names the attempt that wrote it. A checksum would tell less: equal bytes may be another
 * writer's, and exactly one is to win.
 */
async function settled(put: Put, conditional: boolean, send: () => Promise<ObjectInfo>): Promise<ObjectInfo> {
  try {
    return await send();
  } catch (error) {
    if (!conditional) throw error;
    if (isPrecondition(error)) return refused(put, error);
    if (put.how.ifMatch !== undefined && hasCode(error, 'NOT_FOUND')) throw changed(put, error);
    if (!isUnsettled(error)) throw error;
    const found = await head(put).catch(() => {
      throw error;
    });
    if (found?.attempt === put.attempt) return found.info;
    if (found === undefined || found.info.version === put.how.ifMatch) throw error;
    throw put.how.ifAbsent === true ? taken(put, error) : changed(put, error);
  }
}

async function refused(put: Put, error: unknown): Promise<ObjectInfo> {
  if (put.how.ifAbsent !== true) throw changed(put, error);
  const found = put.repeated ? await head(put) : undefined;
  if (found?.attempt === put.attempt) return found.info;
  throw taken(put, error);
}

const changed = ({ key }: Put, cause: unknown): KeyframeError =>
  new KeyframeError('CONFLICT', `object '${key}' has another version, or is gone`, { cause, details: { key } });

interface Found {
  readonly info: ObjectInfo;
  readonly attempt: string | undefined;
}

async function head({ bucket, key, name, how: { signal } }: Put): Promise<Found | undefined> {
  const about = { action: 's3:GetObject', key };
  const { options } = bucket;
  try {
    const found = await bucket.send(about, signal, ({ client, sdk }) =>
      client.send(
        new sdk.HeadObjectCommand({ Bucket: bucket.name, Key: name, ...payer(options), ...customerKey(options) }),
        abort(signal),
      ),
    );
    const info = {
      key,
      sizeBytes: found.ContentLength ?? 0,
      modifiedAt: found.LastModified ?? bucket.host.now(),
      version: found.ETag ?? '',
    };
    return { info, attempt: found.Metadata?.[ATTEMPT] };
  } catch (error) {
    if (!hasCode(error, 'NOT_FOUND')) throw error;
    await bucket.assertExists(signal);
    return undefined;
  }
}

async function putWhole(
  put: Put,
  part: Part,
  { conditional, slabs }: { readonly conditional: boolean; readonly slabs: Slabs },
): Promise<ObjectInfo> {
  const { bucket, key, name, how } = put;
  const about = { action: 's3:PutObject', key };
  const { ETag } = await bucket.send(about, how.signal, ({ client, sdk }) => {
    const command = new sdk.PutObjectCommand({
      ...wanted(put),
      ...conditionsOf(put, conditional),
      Bucket: bucket.name,
      Key: name,
      Body: bodyOf(part),
      ContentLength: part.sizeBytes,
      ...(bucket.options.checksums === 'crc32' && { ChecksumCRC32: base64Of(part.crc32) }),
    });
    return client.send(sealed(command, part), abort(how.signal));
  });
  slabs.give(part);
  return { key, sizeBytes: part.sizeBytes, modifiedAt: bucket.host.now(), version: ETag ?? '' };
}
