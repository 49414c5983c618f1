import { Agent as HttpAgent } from 'node:http';
import { Agent as HttpsAgent } from 'node:https';
import { rootCertificates } from 'node:tls';
import type { S3Client, S3ClientConfig } from '@aws-sdk/client-s3';
import { assertObjectKey, type Host, KeyframeError } from '@keyframe/contracts';
import { credentialsOf } from './credentials.ts';
import { type About, faultOf } from './faults.ts';
import { isAws, type S3Options } from './options.ts';
import type * as sdkModule from './sdk.ts';

/** The SDK's commands and client. */
export type Sdk = typeof sdkModule;

/** What every request to the bucket begins with. */
export interface Session {
  readonly sdk: Sdk;
  readonly client: S3Client;
}

/** Ours, and no object: what the probe of conditional writes leaves behind. */
export const PROBE_KEY = '.keyframe-probe';
/** Unused connections are closed before most servers and balancers would close them under a request. */
const IDLE_MS = 15_000;

/** The bucket: its client, made at the first request, and the way from our keys to its own. */
export class Bucket {
  readonly options: S3Options;
  readonly host: Pick<Host, 'log' | 'now'>;
  #session: Promise<Session> | undefined;
  #exists = false;

  constructor(options: S3Options, host: Pick<Host, 'log' | 'now'>) {
    this.options = options;
    this.host = host;
  }

  get name(): string {
    return this.options.bucket;
  }

  /** The name of an object in the bucket. @throws {KeyframeError} INVALID_OPTION for what is no key */
  locate(key: string): string {
    assertObjectKey(key);
    if (key === PROBE_KEY) throw new KeyframeError('INVALID_OPTION', `object key '${key}' is Keyframe's own`);
    return this.options.prefix + key;
  }

  /** Makes one request and tells its fault in our words; an abort in those of the signal. */
  async send<T>(about: About, signal: AbortSignal | undefined, request: (session: Session) => Promise<T>): Promise<T> {
    signal?.throwIfAborted();
    try {
      const answer = await request(await this.#open());
      this.#exists = true;
      return answer;
    } catch (error) {
      signal?.throwIfAborted();
      throw faultOf(error, about, this);
    }
  }

  /** An answer without words says `not found` of an object and of a whole bucket alike: nothing is absent from no bucket. */
  async assertExists(signal: AbortSignal | undefined): Promise<void> {
    if (this.#exists) return;
    const about = { action: 's3:ListBucket', bucket: true };
    await this.send(about, signal, ({ client, sdk }) =>
      client.send(new sdk.HeadBucketCommand({ Bucket: this.name }), abort(signal)),
    ).catch((error: unknown) => {
      // Who may not look at the bucket is told so of each object anyway.
      if (!(error instanceof KeyframeError) || error.code !== 'ACCESS_DENIED') throw error;
    });
    this.#exists = true;
  }

  async close(): Promise<void> {
    const session = this.#session;
    this.#session = undefined;
    (await session)?.client.destroy();
  }

  async #open(): Promise<Session> {
    this.#session ??= open(this.options);
    return this.#session;
  }
}

const nothing = (): void => undefined;
const SILENT = { trace: nothing, debug: nothing, info: nothing, warn: nothing, error: nothing };

/** What a call of the SDK takes beside its command. */
export const abort = (signal: AbortSignal | undefined): { abortSignal?: AbortSignal } =>
  signal === undefined ? {} : { abortSignal: signal };

async function open(options: S3Options): Promise<Session> {
  const sdk = await import('./sdk.ts');
  const { endpoint, region, profile } = options;
  const credentials = await credentialsOf(options);
  const agent = {
    keepAlive: true,
    maxSockets: options.connections,
    timeout: IDLE_MS,
    ...(options.proxy === undefined ? {} : { proxyEnv: { HTTP_PROXY: options.proxy, HTTPS_PROXY: options.proxy } }),
  };
  const trust =
    options.certificateAuthority === undefined ? {} : { ca: [options.certificateAuthority, ...rootCertificates] };
  const config: S3ClientConfig = {
    // What it would print of its own accord are faults that we tell ourselves.
    logger: SILENT,
    // Retries are the engine's: it knows what may be done twice.
    maxAttempts: 1,
    forcePathStyle: options.pathStyle ?? !isAws(options),
    followRegionRedirects: false,
    // We bring our own, computed while the bytes pass; the SDK adds only what S3 insists on.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    // Waiting for a permission to send costs a round trip for every object.
    expectContinueHeader: false,
    requestHandler: new sdk.NodeHttpHandler({
      connectionTimeout: options.connectTimeoutSeconds * 1_000,
      socketTimeout: options.stallTimeoutSeconds * 1_000,
      httpAgent: new HttpAgent(agent),
      httpsAgent: new HttpsAgent({ ...agent, ...trust }),
    }),
    ...(endpoint !== undefined && { endpoint }),
    ...(profile !== undefined && { profile }),
    ...(credentials !== undefined && { credentials }),
  };
  // A server of one's own has no regions, yet requests are signed for one.
  const chosen = region ?? (isAws(options) ? undefined : 'us-east-1');
  return { sdk, client: new sdk.S3Client({ ...config, ...(chosen !== undefined && { region: chosen }) }) };
}
