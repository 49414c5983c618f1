/** What all S3 servers of the tests share: how they are told apart, and requests that tests make beside the adapter. @packageDocumentation */
import { createHash, createHmac } from 'node:crypto';
import { request as httpRequest } from 'node:http';
import { request as httpsRequest } from 'node:https';
import type { Running } from './process.ts';

/** A key pair. */
export interface S3Credentials {
  readonly accessKeyId: string;
  readonly secretAccessKey: string;
}

/** An S3 server of its own for a test, with data of its own that goes away with it. */
export interface S3Server extends Running {
  readonly endpoint: string;
  readonly region: string;
  /** Of the owner of everything. */
  readonly credentials: S3Credentials;
  /** Where the server keeps its objects on this machine; absent where it keeps them in memory. */
  readonly directory?: string | undefined;
  /** PEM file of the authority that signed the server's certificate; absent without TLS. */
  readonly caFile?: string | undefined;
}

/** One request, signed as AWS prescribes. */
export interface S3Request {
  readonly method: string;
  /** With the bucket, already percent-encoded, and with its query, e.g. `/bucket?versioning=`. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  readonly credentials?: S3Credentials | undefined;
  readonly service?: string;
}

/** An answer, whole. */
export interface S3Answer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: string;
}

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex');
const hmac = (key: string | Buffer, text: string): Buffer => createHmac('sha256', key).update(text).digest();

/** Sends one request without a client library, for what a test arranges or looks up behind the adapter's back. */
export function s3Request(
  server: Pick<S3Server, 'endpoint' | 'region' | 'credentials'>,
  wanted: S3Request,
): Promise<S3Answer> {
  const url = new URL(wanted.path, server.endpoint);
  const body = wanted.body ?? '';
  const headers = signed(server, wanted, url, body);
  const send = url.protocol === 'https:' ? httpsRequest : httpRequest;
  return new Promise((resolve, reject) => {
    // A test's own certificate is signed by nobody.
    const options = { method: wanted.method, headers, rejectUnauthorized: false };
    const request = send(url, options, (answer) => {
      const chunks: Buffer[] = [];
      answer.on('data', (chunk: Buffer) => chunks.push(chunk)).once('error', reject);
      answer.once('end', () => {
        resolve({
          status: answer.statusCode ?? 0,
          headers: answer.headers,
          body: Buffer.concat(chunks).toString('utf8'),
        });
      });
    });
    request.once('error', reject).end(body);
  });
}

function signed(
  server: Pick<S3Server, 'region' | 'credentials'>,
  { method, headers = {}, credentials = server.credentials, service = 's3' }: S3Request,
  url: URL,
  body: string,
): Record<string, string> {
  const stamp = new Date().toISOString().replaceAll(/[-:]|\.\d+/g, '');
  const scope = `${stamp.slice(0, 8)}/${server.region}/${service}/aws4_request`;
  const all: Record<string, string> = {
    host: url.host,
    'x-amz-content-sha256': sha256(body),
    'x-amz-date': stamp,
    ...Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value])),
  };
  const names = Object.keys(all).toSorted();
  const query = [...url.searchParams]
    .map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(value)}`)
    .toSorted()
    .join('&');
  const canonical = [method, url.pathname, query, ...names.map((name) => `${name}:${all[name] ?? ''}`), ''];
  const text = [...canonical, names.join(';'), sha256(body)].join('\n');
  const key = [server.region, service, 'aws4_request'].reduce<Buffer>(
    hmac,
    hmac(`AWS4${credentials.secretAccessKey}`, stamp.slice(0, 8)),
  );
  const signature = hmac(key, ['AWS4-HMAC-SHA256', stamp, scope, sha256(text)].join('\n')).toString('hex');
  const grant = `Credential=${credentials.accessKeyId}/${scope}, SignedHeaders=${names.join(';')}, Signature=${signature}`;
  return { ...all, authorization: `AWS4-HMAC-SHA256 ${grant}` };
}

/** Makes a bucket. A locked one keeps versions too. */
export async function createBucket(server: S3Server, bucket: string, how: { locked?: boolean } = {}): Promise<void> {
  const headers: Record<string, string> = how.locked === true ? { 'x-amz-bucket-object-lock-enabled': 'true' } : {};
  const { status, body } = await s3Request(server, { method: 'PUT', path: `/${bucket}`, headers });
  if (status !== 200) throw new Error(`bucket ${bucket} was not made: ${status} ${body}`);
}

/** Has the bucket keep old versions. */
export async function keepVersions(server: S3Server, bucket: string): Promise<void> {
  const document = '<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>';
  const answer = await s3Request(server, { method: 'PUT', path: `/${bucket}?versioning=`, body: document });
  if (answer.status !== 200) throw new Error(`bucket ${bucket} keeps no versions: ${answer.status} ${answer.body}`);
}
