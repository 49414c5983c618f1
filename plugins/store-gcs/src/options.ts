import { type Secret } from '@keyframe/contracts';

/** Options of `@keyframe/store-gcs`, defaults put in. */
export interface GcsOptions {
  readonly bucket: string;
  /** Put before every key, with `/` at its end, or empty. */
  readonly prefix: string;
  readonly endpoint: string;
  /** Project that the bucket belongs to; for `location` and documents only. */
  readonly project?: string | undefined;
  /** Project that pays for requests, where the bucket asks for one. */
  readonly userProject?: string | undefined;
  /** Where the credentials come from. */
  readonly auth: 'default' | 'anonymous';
  /** A credentials file of Google: a key, an external account (workload identity federation) or an authorized user. */
  readonly keyFile?: string | undefined;
  /** The same as text. */
  readonly credentials?: Secret | undefined;
  /** Service account whose rights are used; the credentials must be allowed to make its tokens. */
  readonly impersonate?: string | undefined;
  /** Cloud KMS key that every object is encrypted with. */
  readonly kmsKey?: string | undefined;
  /** Own key of 32 bytes in base64 that every object is encrypted with; Google does not keep it. */
  readonly encryptionKey?: Secret | undefined;
  readonly retentionMode: 'Locked' | 'Unlocked';
  /** Region, as far as known without asking. */
  readonly region?: string | undefined;
  readonly partMiB: number;
  readonly connections: number;
  readonly connectTimeoutSeconds: number;
  readonly stallTimeoutSeconds: number;
  readonly proxy?: string | undefined;
  readonly certificateAuthority?: string | undefined;
}
