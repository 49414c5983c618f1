/** Reading, looking and listing. @packageDocumentation */
import { assertObjectKey, type ByteStream, type GetOptions, hasCode, type ObjectInfo } from '@keyframe/contracts';
import { type HttpResponse, readText, verified } from '@keyframe/http';
import { type Azure, blobNameOf, textOfBlobName } from './azure.ts';
import { elements, textIn } from './xml.ts';

/** Metadata header by which an upload is known again when its answer was lost. */
export const MARK = 'x-ms-meta-keyframeput';

/** Headers of an object's answer. */
export type Head = HttpResponse['headers'];

/** What the service says of an object, `undefined` when it says that there is none. */
export async function headOf(
  azure: Azure,
  key: string,
  signal: AbortSignal | undefined,
  versionid?: string,
): Promise<Head | undefined> {
  try {
    return await azure.headers({
      method: 'HEAD',
      key,
      query: { versionid },
      headers: azure.encryptionHeaders,
      signal,
    });
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

/** In our terms. The entity tag changes with every write. */
export function infoOfHead(key: string, head: Head): ObjectInfo {
  const tier = head['x-ms-access-tier'];
  return {
    key,
    sizeBytes: Number(head['content-length'] ?? 0),
    modifiedAt: new Date(head['last-modified'] ?? 0),
    ...(head.etag === undefined ? {} : { version: unquoted(head.etag) }),
    ...(tier === undefined ? {} : { storageClass: String(tier) }),
  };
}

/** Listings give entity tags without the quotes that headers have. */
export const unquoted = (etag: string): string => etag.replace(/^"(.*)"$/, '$1');

/** The bytes of an object, or of a version of it. Whole ones are held to the MD5 that the service keeps. */
export async function getObject(
  azure: Azure,
  key: string,
  { range, signal }: GetOptions,
  versionid?: string,
): Promise<ByteStream> {
  const { start = 0, end } = range ?? {};
  if (end !== undefined && end <= start) {
    // No such range can be asked for, yet a missing object must be told.
    await azure.headers({ method: 'HEAD', key, query: { versionid }, headers: azure.encryptionHeaders, signal });
    return nothing();
  }
  const whole = start === 0 && end === undefined;
  const response = await azure.send(
    {
      method: 'GET',
      key,
      query: { versionid },
      headers: {
        'x-ms-range': whole ? undefined : `bytes=${start}-${end === undefined ? '' : end - 1}`,
        ...azure.encryptionHeaders,
      },
      signal,
    },
    [416],
  );
  if (response.status === 416) {
    await readText(response);
    return nothing();
  }
  const { 'content-length': length, 'content-md5': md5 } = response.headers;
  return verified(response.body, {
    key,
    md5: whole && md5 !== undefined ? String(md5) : undefined,
    sizeBytes: length === undefined ? undefined : Number(length),
  });
}

async function* nothing(): ByteStream {
  yield* [];
}

/** An object as a listing tells it. */
export interface Listed {
  readonly info: ObjectInfo;
  readonly versionId?: string | undefined;
  /** The newest version, which has not been removed. */
  readonly current: boolean;
}

/** Every object under a prefix, with old versions where `include` says so. */
export async function* listBlobs(
  azure: Azure,
  prefix: string,
  signal: AbortSignal | undefined,
  { include, pageSize = 5000 }: { readonly include?: 'versions'; readonly pageSize?: number } = {},
): AsyncGenerator<Listed> {
  if (prefix !== '') assertObjectKey(`${prefix}x`);
  const home = azure.options.prefix;
  for (let marker: string | undefined; ;) {
    const text = await azure.text({
      method: 'GET',
      query: {
        restype: 'container',
        comp: 'list',
        prefix: home + prefix === '' ? undefined : blobNameOf(home + prefix),
        maxresults: String(pageSize),
        marker,
        include,
      },
      signal,
    });
    for (const blob of elements(text, 'Blob')) yield listed(blob, home);
    signal?.throwIfAborted();
    marker = textIn(text, 'NextMarker');
    if (marker === undefined) return;
  }
}

function listed(blob: string, home: string): Listed {
  const encoded = /<Name Encoded="true">/i.test(blob);
  const name = textIn(blob, 'Name') ?? '';
  const etag = textIn(blob, 'Etag');
  const tier = textIn(blob, 'AccessTier');
  const versionId = textIn(blob, 'VersionId');
  return {
    info: {
      key: textOfBlobName(encoded ? decodeURIComponent(name) : name).slice(home.length),
      sizeBytes: Number(textIn(blob, 'Content-Length') ?? 0),
      modifiedAt: new Date(textIn(blob, 'Last-Modified') ?? 0),
      ...(etag === undefined ? {} : { version: unquoted(etag) }),
      ...(tier === undefined ? {} : { storageClass: tier }),
    },
    versionId,
    current: versionId === undefined || textIn(blob, 'IsCurrentVersion') === 'true',
  };
}

/** `list` of the contract. */
export async function* listObjects(
  azure: Azure,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo> {
  for await (const { info } of listBlobs(azure, prefix, signal)) yield info;
}
