import type { ObjectIdentifier } from '@aws-sdk/client-s3';
import { hasCode, KeyframeError } from '@keyframe/contracts';
import { abort, type Bucket } from './bucket.ts';
import { faultOf } from './faults.ts';
import { payer } from './request.ts';

/** As many as one request may name. */
const BATCH = 1000;

/** Removes objects or versions, a thousand per request; what is refused keeps no other from being removed. */
export async function removeAll(
  bucket: Bucket,
  doomed: readonly ObjectIdentifier[],
  signal: AbortSignal | undefined,
): Promise<void> {
  signal?.throwIfAborted();
  const faults: KeyframeError[] = [];
  for (let at = 0; at < doomed.length; at += BATCH)
    faults.push(...(await removeBatch(bucket, doomed.slice(at, at + BATCH), signal)));
  // One that is worth another attempt must not hide one that is not.
  const first = faults.find((fault) => !hasCode(fault, 'UNAVAILABLE')) ?? faults[0];
  if (first === undefined) return;
  if (faults.length === 1) throw first;
  throw new KeyframeError(first.code, `${first.message} (and ${faults.length - 1} more)`, {
    cause: first,
    hint: first.hint,
    details: { ...first.details, failed: faults.length, locked: faults.every(isLocked) },
  });
}

const isLocked = ({ details }: KeyframeError): boolean => details['locked'] === true;

async function removeBatch(
  bucket: Bucket,
  Objects: ObjectIdentifier[],
  signal: AbortSignal | undefined,
): Promise<KeyframeError[]> {
  const action = Objects.some(({ VersionId }) => VersionId !== undefined)
    ? 's3:DeleteObjectVersion'
    : 's3:DeleteObject';
  const { Errors = [] } = await bucket.send({ action }, signal, ({ client, sdk }) =>
    client.send(
      new sdk.DeleteObjectsCommand({
        Bucket: bucket.name,
        Delete: { Objects, Quiet: true },
        ...payer(bucket.options),
      }),
      abort(signal),
    ),
  );
  return Errors.filter(({ Code }) => Code !== 'NoSuchKey' && Code !== 'NoSuchVersion').map((error) =>
    faultOfKey(bucket, action, error),
  );
}

/** Servers tell of a lock in several ways, none of them a code of its own. */
const LOCKED = /object ?lock|WORM|retention|legal hold|InvalidRequest|ObjectLocked/i;

function faultOfKey(
  bucket: Bucket,
  action: string,
  {
    Key = '',
    Code = '',
    Message = '',
  }: { Key?: string | undefined; Code?: string | undefined; Message?: string | undefined },
): KeyframeError {
  const key = Key.slice(bucket.options.prefix.length);
  const locked = action === 's3:DeleteObjectVersion' && LOCKED.test(`${Code} ${Message}`);
  const status = Code === 'SlowDown' || Code === 'ServiceUnavailable' ? 503 : Code === 'InternalError' ? 500 : 403;
  const error = Object.assign(new Error(locked ? `${Message} (locked)` : Message), {
    name: locked ? 'AccessDenied' : Code,
    $metadata: { httpStatusCode: status },
  });
  const fault = faultOf(error, { action, key }, bucket) as KeyframeError;
  if (!locked) return fault;
  const { code, message, hint, details } = fault;
  return new KeyframeError(code, message, { cause: error, hint, details: { ...details, locked } });
}
