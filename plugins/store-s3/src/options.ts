import type { Secret } from '@keyframe/contracts';

/** Encryption by the store: with its own keys, with a key of KMS, or with a key that every request brings. */
export type Sse =
  | { readonly kind: 's3' }
  | {
      readonly kind: 'kms';
      /** ARN, id or alias. Default: the bucket's key, else the account's own. */
      readonly key?: string | undefined;
      readonly context?: Readonly<Record<string, string>> | undefined;
      readonly bucketKey?: boolean | undefined;
    }
  | { readonly kind: 'customer'; readonly key: Secret };

/** Where the bucket's own copies go. */
export interface ReplicateTo {
  readonly bucket: string;
  /** Role that the store takes on to copy. */
  readonly role: string;
  readonly account?: string | undefined;
  readonly storageClass?: string | undefined;
}

/** Options of `@keyframe/store-s3`, defaults put in. */
export interface S3Options {
  readonly bucket: string;
  /** Put before every key, with `/` at its end, or empty. */
  readonly prefix: string;
  readonly region?: string | undefined;
  /** Address of a server other than AWS. */
  readonly endpoint?: string | undefined;
  readonly pathStyle?: boolean | undefined;
  readonly checksums: 'crc32' | 'when-required';
  readonly conditionalWrites?: 'probe' | 'trust' | 'none' | undefined;
  readonly profile?: string | undefined;
  readonly accessKeyId?: Secret | undefined;
  readonly secretAccessKey?: Secret | undefined;
  readonly sessionToken?: Secret | undefined;
  readonly roleArn?: string | undefined;
  readonly externalId?: string | undefined;
  readonly webIdentityTokenFile?: string | undefined;
  readonly sse?: Sse | undefined;
  readonly storageClass?: string | undefined;
  readonly lockMode: 'compliance' | 'governance';
  readonly requesterPays: boolean;
  readonly replicateTo?: ReplicateTo | undefined;
  readonly partMiB: number;
  readonly concurrency: number;
  readonly connections: number;
  readonly connectTimeoutSeconds: number;
  readonly stallTimeoutSeconds: number;
  readonly proxy?: string | undefined;
  readonly certificateAuthority?: string | undefined;
}

/** Whether the options lead to Amazon itself. */
export const isAws = ({ endpoint }: Pick<S3Options, 'endpoint'>): boolean =>
  endpoint === undefined || /^https?:\/\/([^/]+\.)?amazonaws\.com(\.cn)?(:\d+)?(\/|$)/.test(endpoint);
