import type { Secret } from '@keyframe/contracts';

/** Ways to show who we are that need a token of Microsoft Entra. */
export type TokenSource =
  | 'default'
  | 'environment'
  | 'managed-identity'
  | 'workload-identity'
  | 'client-secret'
  | 'client-certificate'
  | 'cli';

/** The management API of an account. */
export interface Management {
  readonly subscription: string;
  readonly resourceGroup: string;
  readonly endpoint: string;
}

/** Options of `@keyframe/store-azure`, defaults put in. */
export interface AzureOptions {
  /** Name of the storage account. Absent where `connectionString` says it. */
  readonly account?: string | undefined;
  readonly container: string;
  /** Put before every key, with `/` at its end, or empty. */
  readonly prefix: string;
  /** Address of the account. Default: `https://<account>.blob.core.windows.net`. */
  readonly endpoint?: string | undefined;
  readonly connectionString?: Secret | undefined;
  readonly accountKey?: Secret | undefined;
  /** Shared access signature: `sv=…&sig=…`. */
  readonly sas?: Secret | undefined;
  /** Asked when no connection string, key or SAS is given. */
  readonly auth: TokenSource | 'anonymous';
  readonly tenantId?: string | undefined;
  readonly clientId?: string | undefined;
  readonly clientSecret?: Secret | undefined;
  /** Absolute path of a PEM file with certificate and private key. */
  readonly clientCertificateFile?: string | undefined;
  /** Where the token of the workload lies. Default: as the environment says. */
  readonly tokenFile?: string | undefined;
  /** Scope that every object is encrypted in. */
  readonly encryptionScope?: string | undefined;
  /** Own key of 32 bytes in base64 that every object is encrypted with; Azure does not keep it. */
  readonly encryptionKey?: Secret | undefined;
  readonly retentionMode: 'locked' | 'unlocked';
  /** Region, as far as known without asking. */
  readonly region?: string | undefined;
  /** Where object replication copies to. */
  readonly replicateTo?: { readonly account: string; readonly container: string } | undefined;
  /** Where the account is managed: needed for its lifecycle rules. */
  readonly management?: Management | undefined;
  readonly partMiB: number;
  readonly parallelParts: number;
  readonly connections: number;
  readonly connectTimeoutSeconds: number;
  readonly stallTimeoutSeconds: number;
  readonly proxy?: string | undefined;
  readonly certificateAuthority?: string | undefined;
}
