/** Reading, looking and listing. @packageDocumentation */
import { assertObjectKey, type ByteStream, type GetOptions, hasCode, type ObjectInfo } from '@keyframe/contracts';
import { readText, verified } from '@keyframe/http';
import type { Gcs } from './gcs.ts';
import { FIELDS, infoOf, type Resource } from './resource.ts';

/** What the service says of an object, `undefined` when it says that there is none. */
export async function statResource(
  gcs: Gcs,
  key: string,
  signal: AbortSignal | undefined,
  generation?: string,
): Promise<Resource | undefined> {
  try {
    return await gcs.json<Resource>({
      method: 'GET',
      path: gcs.objectPath(key),
      query: { fields: FIELDS, generation },
      headers: gcs.encryptionHeaders,
      key,
      signal,
    });
  } catch (error) {
    if (hasCode(error, 'NOT_FOUND')) return undefined;
    throw error;
  }
}

/** The bytes of an object, or of a generation of it. Whole ones are held to the MD5 that the service keeps. */
export async function getObject(
  gcs: Gcs,
  key: string,
  { range, signal }: GetOptions,
  generation?: string,
): Promise<ByteStream> {
  const { start = 0, end } = range ?? {};
  if (end !== undefined && end <= start) {
    // No such range can be asked for, yet a missing object must be told.
    await gcs.done({ method: 'GET', path: gcs.objectPath(key), query: { generation, fields: 'name' }, key, signal });
    return nothing();
  }
  const whole = start === 0 && end === undefined;
  const response = await gcs.send({
    method: 'GET',
    path: gcs.objectPath(key),
    query: { alt: 'media', generation },
    headers: {
      ...(whole ? {} : { range: `bytes=${start}-${end === undefined ? '' : end - 1}` }),
      ...gcs.encryptionHeaders,
    },
    key,
    signal,
    expected: [416],
  });
  if (response.status === 416) {
    await readText(response);
    return nothing();
  }
  const { 'content-length': length, 'x-goog-hash': hash } = response.headers;
  const md5 = whole ? /md5=([^,\s]+)/.exec(String(hash ?? ''))?.[1] : undefined;
  return verified(response.body, { key, md5, sizeBytes: length === undefined ? undefined : Number(length) });
}

async function* nothing(): ByteStream {
  yield* [];
}

interface Page {
  readonly items?: readonly Resource[];
  readonly nextPageToken?: string;
}

/** What the service says of every object under a prefix, with old generations where `versions` is set. */
export async function* listResources(
  gcs: Gcs,
  prefix: string,
  signal: AbortSignal | undefined,
  versions = false,
): AsyncGenerator<Resource & { readonly key: string }> {
  if (prefix !== '') assertObjectKey(`${prefix}x`);
  const { prefix: home, bucket } = gcs.options;
  for (let pageToken: string | undefined; ;) {
    const page = await gcs.json<Page>({
      method: 'GET',
      path: `/storage/v1/b/${encodeURIComponent(bucket)}/o`,
      query: {
        prefix: home + prefix,
        maxResults: '1000',
        pageToken,
        fields: `nextPageToken,items(${FIELDS})`,
        versions: versions ? 'true' : undefined,
      },
      signal,
    });
    for (const item of page.items ?? []) yield { ...item, key: item.name.slice(home.length) };
    signal?.throwIfAborted();
    if (page.nextPageToken === undefined || page.nextPageToken === '') return;
    pageToken = page.nextPageToken;
  }
}

/** `list` of the contract. */
export async function* listObjects(
  gcs: Gcs,
  prefix: string,
  signal: AbortSignal | undefined,
): AsyncGenerator<ObjectInfo> {
  for await (const { key, ...found } of listResources(gcs, prefix, signal)) yield infoOf(key, found);
}
