/** Requests to the REST API of Azure Blob Storage. @packageDocumentation */
import { createHash } from 'node:crypto';
import { type Abortable, assertObjectKey, type Host, KeyframeError } from '@keyframe/contracts';
import { createHttpClient, type HttpClient, type HttpRequest, type HttpResponse, readText } from '@keyframe/http';
import { type Account, accountOf } from './account.ts';
import { faultOf } from './errors.ts';
import type { AzureOptions } from './options.ts';
import { sharedKey } from './shared-key.ts';
import { type Tokens, tokensOf } from './tokens.ts';

/** What we were written for. */
const API_VERSION = '2024-11-04';
const SCOPE = 'https://storage.azure.com/.default';

/** One request. */
export interface Call extends Abortable {
  readonly method: HttpRequest['method'];
  /** Object key; absent for requests about the container. */
  readonly key?: string | undefined;
  readonly query?: Readonly<Record<string, string | undefined>> | undefined;
  /** Names in lower case. */
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined;
  readonly body?: readonly Uint8Array[] | undefined;
}

/** The API of one container. */
export class Azure {
  readonly options: AzureOptions;
  readonly account: Account;
  /** Headers of every request that touches the bytes of an object, where we keep the key ourselves. */
  readonly encryptionHeaders: Readonly<Record<string, string>>;
  readonly #host: Pick<Host, 'now' | 'log'>;
  readonly #http: HttpClient;
  readonly #tokens: Tokens | undefined;

  constructor(options: AzureOptions, host: Pick<Host, 'now' | 'log'>) {
    this.options = options;
    this.account = accountOf(options);
    this.encryptionHeaders = keyHeaders(options, this.account);
    this.#host = host;
    this.#http = createHttpClient({
      connectTimeoutMs: options.connectTimeoutSeconds * 1_000,
      stallTimeoutMs: options.stallTimeoutSeconds * 1_000,
      connections: options.connections,
      proxy: options.proxy,
      certificateAuthority: options.certificateAuthority,
    });
    const { key, sas } = this.account;
    const byToken = key === undefined && sas === undefined && options.auth !== 'anonymous';
    this.#tokens = byToken ? tokensOf(options, host.now, SCOPE) : undefined;
  }

  /** The object's name in the container. @throws {KeyframeError} INVALID_OPTION */
  nameOf(key: string): string {
    assertObjectKey(key);
    return blobNameOf(this.options.prefix + key);
  }

  /** Address of the container or of an object, with the SAS where there is one. */
  urlOf({ key, query = {} }: Pick<Call, 'key' | 'query'>): URL {
    const name = key === undefined ? [] : this.nameOf(key).split('/');
    const path = [this.options.container, ...name].map(encodeURIComponent).join('/');
    const url = new URL(`${this.account.endpoint}/${path}`);
    for (const [each, value] of Object.entries(query)) if (value !== undefined) url.searchParams.set(each, value);
    const { sas } = this.account;
    if (sas !== undefined)
      for (const [each, value] of new URLSearchParams(sas.reveal())) url.searchParams.set(each, value);
    return url;
  }

  /** Headers that show who we are, for a request with these headers. */
  async authorized(
    method: string,
    url: URL,
    headers: Readonly<Record<string, string>>,
    signal: AbortSignal | undefined,
  ): Promise<Record<string, string>> {
    const { name, key } = this.account;
    const dated = { ...headers, 'x-ms-date': this.#host.now().toUTCString() };
    if (this.#tokens !== undefined) return { ...dated, authorization: `Bearer ${await this.#tokens(signal)}` };
    return key === undefined
      ? dated
      : { ...dated, authorization: sharedKey(name, key.reveal(), { method, url, headers: dated }) };
  }

  /** The answer, its body unread. @throws {KeyframeError} what any other answer than 2xx and those expected stands for */
  async send(call: Call, expected: readonly number[] = []): Promise<HttpResponse> {
    const { method, key, body, signal } = call;
    signal?.throwIfAborted();
    const url = this.urlOf(call);
    const length = body?.reduce((sum, piece) => sum + piece.length, 0) ?? 0;
    const given = Object.entries(call.headers ?? {}).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, value]],
    );
    const headers = await this.authorized(
      method,
      url,
      {
        'x-ms-version': API_VERSION,
        ...(method === 'PUT' || method === 'POST' ? { 'content-length': String(length) } : {}),
        ...Object.fromEntries(given),
      },
      signal,
    );
    const response = await this.#http.send({ method, url, headers, body, signal });
    if (response.status < 300 || expected.includes(response.status)) return response;
    throw this.faultOf(response, await readText(response), key);
  }

  /** The answer as text. */
  async text(call: Call): Promise<string> {
    return readText(await this.send(call));
  }

  /** An exchange with another service, with our connections; whatever the status. */
  async elsewhere(request: HttpRequest): Promise<{ readonly response: HttpResponse; readonly text: string }> {
    request.signal?.throwIfAborted();
    const response = await this.#http.send(request);
    return { response, text: await readText(response) };
  }

  /** What the clock says. */
  now(): Date {
    return this.#host.now();
  }

  /** The headers of the answer. */
  async headers(call: Call): Promise<HttpResponse['headers']> {
    const response = await this.send(call);
    await readText(response);
    return response.headers;
  }

  /** The fault that an answer about `key` stands for. */
  faultOf(response: HttpResponse, text: string, key: string | undefined): KeyframeError {
    const about = { account: this.account.name, container: this.options.container, key };
    return faultOf(response, text, about, this.#host.now());
  }

  close(): void {
    this.#http.close();
  }
}

/** The service takes `\\` for `/`, so it and the character that stands for it are escaped. Prefixes stay prefixes. */
export const blobNameOf = (text: string): string => text.replaceAll('%', '%25').replaceAll('\\', '%5C');

/** The text that {@link blobNameOf} was given. */
export const textOfBlobName = (name: string): string => name.replaceAll('%5C', '\\').replaceAll('%25', '%');

/** Customer-provided keys go over https only: the service refuses them elsewhere, and so should we. */
function keyHeaders({ encryptionKey }: AzureOptions, { endpoint }: Account): Record<string, string> {
  if (encryptionKey === undefined) return {};
  if (endpoint.startsWith('http:'))
    throw new KeyframeError('INVALID_OPTION', 'encryptionKey would go over http in the clear', {
      hint: 'Write https:// in `endpoint`.',
    });
  const key = encryptionKey.reveal();
  return {
    'x-ms-encryption-algorithm': 'AES256',
    'x-ms-encryption-key': key,
    'x-ms-encryption-key-sha256': createHash('sha256').update(Buffer.from(key, 'base64')).digest('base64'),
  };
}
