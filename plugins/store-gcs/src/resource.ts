/** Objects as the JSON API describes them. @packageDocumentation */
import type { ObjectInfo } from '@keyframe/contracts';

/** Name of the metadata entry by which an upload is known again when its answer was lost. */
export const MARK = 'keyframe-put';

/** Fields that are asked for. */
export const FIELDS =
  'name,size,generation,timeCreated,updated,timeDeleted,md5Hash,storageClass,metadata,retention,retentionExpirationTime,temporaryHold,eventBasedHold,kmsKeyName,customerEncryption';

/** What the service says of an object. */
export interface Resource {
  readonly name: string;
  readonly size?: string;
  readonly generation?: string;
  readonly timeCreated?: string;
  readonly updated?: string;
  readonly timeDeleted?: string;
  readonly md5Hash?: string;
  readonly storageClass?: string;
  readonly metadata?: Readonly<Record<string, string>>;
  readonly retention?: { readonly mode?: string; readonly retainUntilTime?: string };
  readonly retentionExpirationTime?: string;
  readonly temporaryHold?: boolean;
  readonly eventBasedHold?: boolean;
  readonly kmsKeyName?: string;
  readonly customerEncryption?: { readonly keySha256?: string };
}

/** In our terms. The generation changes with every write and is unique in a bucket. */
export function infoOf(key: string, found: Resource): ObjectInfo {
  return {
    key,
    sizeBytes: Number(found.size ?? 0),
    modifiedAt: new Date(found.timeCreated ?? found.updated ?? 0),
    ...(found.generation === undefined ? {} : { version: found.generation }),
    ...(found.storageClass === undefined ? {} : { storageClass: found.storageClass }),
  };
}
