/** Answers read to their end. @packageDocumentation */
import { createHash } from 'node:crypto';
import { type ByteStream, KeyframeError } from '@keyframe/contracts';
import type { HttpResponse } from './client.ts';

/** Answers that are no objects fit in memory: a page of a listing is a few MiB. */
const TEXT_LIMIT = 64 * 1024 * 1024;

/** The body as text. @throws {KeyframeError} UNAVAILABLE when it is no such answer: over 64 MiB */
export async function readText({ body }: HttpResponse): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of body) {
    size += chunk.length;
    if (size > TEXT_LIMIT) throw new KeyframeError('UNAVAILABLE', `the answer has over ${TEXT_LIMIT} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** What the bytes of an object must be. */
export interface Expected {
  readonly key: string;
  /** In base64, as the store tells it. */
  readonly md5: string | undefined;
  readonly sizeBytes: number | undefined;
}

/** Passes a body on and holds it to its length and checksum. @throws {KeyframeError} CORRUPT, UNAVAILABLE */
export async function* verified(body: ByteStream, { key, md5, sizeBytes }: Expected): ByteStream {
  const hash = md5 === undefined ? undefined : createHash('md5');
  let seen = 0;
  for await (const chunk of body) {
    hash?.update(chunk);
    seen += chunk.length;
    yield chunk;
  }
  if (sizeBytes !== undefined && seen !== sizeBytes)
    throw new KeyframeError('UNAVAILABLE', `object '${key}': ${seen} of ${sizeBytes} bytes came`, { details: { key } });
  if (hash !== undefined && hash.digest('base64') !== md5)
    throw new KeyframeError(
      'CORRUPT',
      `object '${key}': the bytes read are not those of the MD5 that the store keeps`,
      {
        details: { key },
      },
    );
}
