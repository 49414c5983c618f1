/** What all requests that write have in common. @packageDocumentation */
import { Readable } from 'node:stream';
import type { PutObjectCommandInput, StorageClass } from '@aws-sdk/client-s3';
import type { PutOptions } from '@keyframe/contracts';
import type { Bucket } from './bucket.ts';
import type { Part } from './parts.ts';
import { encryption, type Extensible, payer, withHeader } from './request.ts';

/** Metadata that tells the object of one attempt from that of every other. */
export const ATTEMPT = 'keyframe-put';

/** What one `put` needs. */
export interface Put {
  readonly bucket: Bucket;
  readonly key: string;
  /** Its name in the bucket. */
  readonly name: string;
  readonly how: PutOptions;
  /** In the metadata of what this attempt writes. */
  readonly attempt: string;
  /** The attempt was made before, and its answer was lost. */
  readonly repeated: boolean;
}

/** Signed whole where nothing else keeps it from being changed on its way, and where no other checksum goes with it. */
export const isHashed = ({ options }: Bucket): boolean =>
  options.checksums === 'when-required' || (options.endpoint?.startsWith('http:') ?? false);

/** Tells the signer the hash of the body, which it would otherwise read once more to compute. */
export function sealed<C extends Extensible>(command: C, { sha256 }: Part): C {
  return withHeader(command, 'x-amz-content-sha256', sha256 === '' ? 'UNSIGNED-PAYLOAD' : sha256);
}

/** The bytes of a part as a body. */
export function bodyOf({ slabs }: Part): Buffer | Readable {
  const [only, ...others] = slabs;
  if (others.length === 0) return only ?? Buffer.alloc(0);
  return Readable.from(slabs, { objectMode: false });
}

/** What a new object is to be, however it is sent. */
export function wanted({ bucket, how, attempt }: Put): Omit<PutObjectCommandInput, 'Bucket' | 'Key'> {
  const { options } = bucket;
  const storageClass = how.storageClass ?? options.storageClass;
  return {
    ...payer(options),
    ...encryption(options),
    Metadata: { [ATTEMPT]: attempt },
    ContentType: 'application/octet-stream',
    ...(storageClass !== undefined && { StorageClass: storageClass as StorageClass }),
    ...(how.retainUntil !== undefined && {
      ObjectLockMode: options.lockMode === 'compliance' ? 'COMPLIANCE' : 'GOVERNANCE',
      ObjectLockRetainUntilDate: how.retainUntil,
    }),
  };
}

/** The conditions as headers. */
export const conditionsOf = ({ how }: Put, conditional: boolean): { IfNoneMatch?: string; IfMatch?: string } => {
  if (!conditional) return {};
  return how.ifMatch === undefined ? { IfNoneMatch: '*' } : { IfMatch: how.ifMatch };
};
