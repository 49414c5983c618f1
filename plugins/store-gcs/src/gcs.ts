/** Requests to the JSON API of Google Cloud Storage. @packageDocumentation */
import { createHash } from 'node:crypto';
import { type Abortable, assertObjectKey, type Host, KeyframeError } from '@keyframe/contracts';
import {
  createHttpClient,
  type HttpClient,
  type HttpRequest,
  type HttpResponse,
  readText,
  untilAborted,
} from '@keyframe/http';
import { type Authorize, authorizer } from './credentials.ts';
import { type About, faultOf, isVague } from './errors.ts';
import type { GcsOptions } from './options.ts';

/** One request to the API. */
export interface Call extends Abortable {
  readonly method: HttpRequest['method'];
  /** After the endpoint. */
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>> | undefined;
  readonly headers?: Readonly<Record<string, string>> | undefined;
  /** Sent as JSON. */
  readonly json?: object | undefined;
  readonly body?: readonly Uint8Array[] | undefined;
  /** Object key, for messages and for the keys of encryption. */
  readonly key?: string | undefined;
  /** Statuses besides 2xx that are answers. */
  readonly expected?: readonly number[] | undefined;
}

/** The API of one bucket. */
export class Gcs {
  readonly options: GcsOptions;
  readonly #host: Pick<Host, 'now' | 'log'>;
  readonly #http: HttpClient;
  readonly #authorize: Authorize;
  #bucketSeen = false;
  /** Headers of every request that touches the bytes of an object, where we keep the key ourselves. */
  readonly encryptionHeaders: Readonly<Record<string, string>>;

  constructor(options: GcsOptions, host: Pick<Host, 'now' | 'log'>) {
    this.options = options;
    this.#host = host;
    this.#http = createHttpClient({
      connectTimeoutMs: options.connectTimeoutSeconds * 1_000,
      stallTimeoutMs: options.stallTimeoutSeconds * 1_000,
      connections: options.connections,
      proxy: options.proxy,
      certificateAuthority: options.certificateAuthority,
    });
    this.#authorize = authorizer(options);
    this.encryptionHeaders = keyHeaders('x-goog-', options);
  }

  /** Path of the bucket. */
  get bucketPath(): string {
    return `/storage/v1/b/${encodeURIComponent(this.options.bucket)}`;
  }

  /** Path of an object. */
  objectPath(key: string): string {
    return `${this.bucketPath}/o/${encodeURIComponent(this.nameOf(key))}`;
  }

  /** The object's name in the bucket. @throws {KeyframeError} INVALID_OPTION */
  nameOf(key: string): string {
    assertObjectKey(key);
    return this.options.prefix + key;
  }

  /** The answer, its body unread. @throws {KeyframeError} what any other answer stands for */
  async send(call: Call): Promise<HttpResponse> {
    const url = this.#urlOf(call);
    const body = call.json === undefined ? call.body : [Buffer.from(JSON.stringify(call.json))];
    const length = body?.reduce((sum, piece) => sum + piece.length, 0) ?? 0;
    const { userProject } = this.options;
    const headers = {
      // Google's library takes no signal.
      ...(await untilAborted(this.#authorize(url), call.signal)),
      ...(call.json === undefined ? {} : { 'content-type': 'application/json' }),
      ...(body !== undefined || call.method === 'PUT' || call.method === 'POST'
        ? { 'content-length': String(length) }
        : {}),
      ...(userProject === undefined ? {} : { 'x-goog-user-project': userProject }),
      ...call.headers,
    };
    const response = await this.#http.send({ method: call.method, url, headers, body, signal: call.signal });
    if (response.status < 300 || call.expected?.includes(response.status) === true) return response;
    const about: About = { bucket: this.options.bucket, key: call.key };
    const fault = faultOf(response, await readText(response), about, this.#host.now());
    if (isVague(fault)) await this.#assertBucket(call.signal);
    throw fault;
  }

  /** By a listing, since every role may list. @throws {KeyframeError} INVALID_OPTION */
  async #assertBucket(signal: AbortSignal | undefined): Promise<void> {
    if (this.#bucketSeen) return;
    await this.done({
      method: 'GET',
      path: `${this.bucketPath}/o`,
      query: { maxResults: '1', fields: 'kind' },
      signal,
    });
    this.#bucketSeen = true;
  }

  /** The answer as JSON. */
  async json<T>(call: Call): Promise<T> {
    const text = await readText(await this.send(call));
    try {
      return JSON.parse(text) as T;
    } catch (error) {
      throw new KeyframeError('UNAVAILABLE', `${this.options.endpoint} does not answer as Google Cloud Storage does`, {
        cause: error,
        hint: 'Correct `endpoint`, or the proxy in between.',
      });
    }
  }

  /** The answer, which is of no use. */
  async done(call: Call): Promise<void> {
    await readText(await this.send(call));
  }

  /** Something that failed beside the work. */
  note(what: string, error: unknown): void {
    this.#host.log.debug(what, { error: error instanceof Error ? error.message : String(error) });
  }

  close(): void {
    this.#http.close();
  }

  #urlOf({ path, query = {} }: Call): URL {
    const url = new URL(path.startsWith('/') ? this.options.endpoint + path : path);
    for (const [name, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(name, value);
    return url;
  }
}

/** Headers that hand over our own key (CSEK); `x-goog-copy-source-` for what is read by a rewrite. */
export function keyHeaders(prefix: string, { encryptionKey }: GcsOptions): Record<string, string> {
  if (encryptionKey === undefined) return {};
  const key = encryptionKey.reveal();
  return {
    [`${prefix}encryption-algorithm`]: 'AES256',
    [`${prefix}encryption-key`]: key,
    [`${prefix}encryption-key-sha256`]: createHash('sha256').update(Buffer.from(key, 'base64')).digest('base64'),
  };
}
