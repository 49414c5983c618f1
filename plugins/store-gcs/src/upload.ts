/** Uploads: in one request where the bytes fit in memory, else in the parts of a resumable session. @packageDocumentation */
import { createHash, type Hash, randomUUID } from 'node:crypto';
import { type ByteSource, KeyframeError, type ObjectInfo, type PutOptions } from '@keyframe/contracts';
import { abortable, openExact } from '@keyframe/contracts/streams';
import { LostAnswers, type Part, partsOf, readText } from '@keyframe/http';
import { ofCondition } from './errors.ts';
import type { Gcs } from './gcs.ts';
import { statResource } from './read.ts';
import { notMadeForIt } from './retention.ts';
import { deleteOne } from './versions.ts';
import { FIELDS, infoOf, MARK, type Resource } from './resource.ts';

const MIB = 1024 * 1024;

/** How often the rest of a part is sent again of which the service kept only the beginning. */
const PART_ATTEMPTS = 5;

/** Stores objects in a bucket. */
export class Uploads {
  readonly #gcs: Gcs;
  readonly #lost = new LostAnswers();

  constructor(gcs: Gcs) {
    this.#gcs = gcs;
  }

  /** `put` of the contract. */
  async put(key: string, source: ByteSource, how: PutOptions): Promise<ObjectInfo> {
    this.#gcs.nameOf(key);
    how.signal?.throwIfAborted();
    return this.#lost.put({
      key,
      how,
      attempt: (mark) => this.#attempt({ key, how, mark }, source),
      look: async () => {
        const found = await statResource(this.#gcs, key, how.signal);
        return found && { info: infoOf(key, found), mark: found.metadata?.[MARK] };
      },
    });
  }

  async #attempt(upload: Upload, source: ByteSource): Promise<ObjectInfo> {
    const { key, how } = upload;
    const stream = abortable(openExact(source), how.signal);
    const parts = partsOf(stream, this.#gcs.options.partMiB * MIB, source.sizeBytes);
    try {
      const { value: first } = await parts.next();
      if (first === undefined) throw new KeyframeError('INTERNAL', `object '${key}': a source without any part`);
      const stored = first.last
        ? await this.#whole(upload, first)
        : await this.#session(upload, first, parts, source.sizeBytes);
      return infoOf(key, stored);
    } catch (error) {
      const fault = how.retainUntil === undefined ? error : notMadeForIt(this.#gcs, error);
      throw ofCondition(fault, { bucket: this.#gcs.options.bucket, key }, how.ifAbsent === true);
    } finally {
      await parts.return();
    }
  }

  /** The service compares the MD5 before it keeps anything. */
  async #whole(upload: Upload, part: Part): Promise<Resource> {
    const md5Hash = digest(createHash('md5'), part);
    const boundary = `keyframe-${randomUUID()}`;
    const head = `--${boundary}\r\ncontent-type: application/json; charset=utf-8\r\n\r\n${JSON.stringify({
      ...this.#metadataOf(upload),
      md5Hash,
    })}\r\n--${boundary}\r\ncontent-type: application/octet-stream\r\n\r\n`;
    return this.#gcs.json<Resource>({
      method: 'POST',
      path: `/upload${this.#gcs.bucketPath}/o`,
      query: { uploadType: 'multipart', ...this.#queryOf(upload) },
      headers: { 'content-type': `multipart/related; boundary=${boundary}`, ...this.#gcs.encryptionHeaders },
      body: [Buffer.from(head), ...part.bytes, Buffer.from(`\r\n--${boundary}--\r\n`)],
      key: upload.key,
      signal: upload.how.signal,
    });
  }

  /** Nothing is visible before the last part, which carries the MD5 of all; the condition holds at that moment. */
  async #session(
    upload: Upload,
    first: Part,
    rest: AsyncGenerator<Part, void, undefined>,
    sizeBytes: number | undefined,
  ): Promise<Resource> {
    const session = await this.#open(upload, sizeBytes);
    try {
      const hash = createHash('md5');
      let start = 0;
      for (let part = first; ;) {
        digestInto(hash, part);
        const sending = this.#part(upload, session, {
          part,
          start,
          md5: part.last ? hash.digest('base64') : undefined,
        });
        start += part.sizeBytes;
        // The next part is read while this one is on its way.
        const [stored, next] = await Promise.all([sending, part.last ? undefined : rest.next()]);
        if (stored !== undefined) return stored;
        if (next?.value === undefined) throw new KeyframeError('UNAVAILABLE', `object '${upload.key}' is not finished`);
        part = next.value;
      }
    } catch (error) {
      await this.#cancel(session);
      throw error;
    }
  }

  async #open(upload: Upload, sizeBytes: number | undefined): Promise<string> {
    const { key, how } = upload;
    const response = await this.#gcs.send({
      method: 'POST',
      path: `/upload${this.#gcs.bucketPath}/o`,
      query: { uploadType: 'resumable', ...this.#queryOf(upload) },
      headers: {
        'x-upload-content-type': 'application/octet-stream',
        ...(sizeBytes === undefined ? {} : { 'x-upload-content-length': String(sizeBytes) }),
        ...this.#gcs.encryptionHeaders,
      },
      json: this.#metadataOf(upload),
      key,
      signal: how.signal,
    });
    await readText(response);
    const { location } = response.headers;
    if (location === undefined) throw new KeyframeError('UNAVAILABLE', `object '${key}': no upload session was opened`);
    return location;
  }

  /** The object once it is there; `undefined` while parts are missing. */
  async #part(
    { key, how }: Upload,
    session: string,
    { part, start, md5 }: { readonly part: Part; readonly start: number; readonly md5: string | undefined },
  ): Promise<Resource | undefined> {
    const end = start + part.sizeBytes;
    for (let at = start, attempt = 1; attempt <= PART_ATTEMPTS; attempt += 1) {
      const range = at === end ? `bytes */${end}` : `bytes ${at}-${end - 1}/${part.last ? end : '*'}`;
      const response = await this.#gcs.send({
        method: 'PUT',
        path: session,
        headers: {
          'content-range': range,
          ...(md5 === undefined ? {} : { 'x-goog-hash': `md5=${md5}` }),
          ...this.#gcs.encryptionHeaders,
        },
        body: tailOf(part.bytes, at - start),
        key,
        signal: how.signal,
        expected: [308],
      });
      const text = await readText(response);
      if (response.status !== 308) return this.#proven(key, JSON.parse(text) as Resource, { md5, sizeBytes: end });
      const kept = /-(\d+)$/.exec(response.headers.range ?? '')?.[1];
      at = kept === undefined ? start : Number(kept) + 1;
      if (at === end && !part.last) return undefined;
      if (at < start || at > end) break;
    }
    throw new KeyframeError('UNAVAILABLE', `object '${key}': the service keeps no part of the upload`);
  }

  /** A service that does not know the header would keep bytes that the line damaged, or fewer than were sent. */
  async #proven(
    key: string,
    stored: Resource,
    sent: { readonly md5: string | undefined; readonly sizeBytes: number },
  ): Promise<Resource> {
    const whole = sent.md5 !== undefined && Number(stored.size) === sent.sizeBytes;
    if (whole && (stored.md5Hash === undefined || stored.md5Hash === sent.md5)) return stored;
    // Never without its generation: another's object may lie there by now.
    if (stored.generation !== undefined) await deleteOne(this.#gcs, key, undefined, stored.generation);
    throw new KeyframeError('UNAVAILABLE', `object '${key}': other bytes arrived than were sent`, { details: { key } });
  }

  /** An open session costs nothing and ends by itself after a week, so its removal is only tried. */
  async #cancel(session: string): Promise<void> {
    await this.#gcs
      .done({ method: 'DELETE', path: session, headers: { 'content-length': '0' }, expected: [499, 404, 410] })
      .catch((error: unknown) => this.#gcs.note('an upload session could not be ended', error));
  }

  #queryOf({ how }: Upload): Record<string, string | undefined> {
    return {
      fields: FIELDS,
      ifGenerationMatch: how.ifAbsent === true ? '0' : how.ifMatch,
      kmsKeyName: this.#gcs.options.kmsKey,
    };
  }

  #metadataOf({ key, how, mark }: Upload): object {
    const { retainUntil, storageClass } = how;
    const { retentionMode } = this.#gcs.options;
    return {
      name: this.#gcs.nameOf(key),
      contentType: 'application/octet-stream',
      metadata: { [MARK]: mark },
      ...(storageClass === undefined ? {} : { storageClass }),
      ...(retainUntil === undefined
        ? {}
        : { retention: { mode: retentionMode, retainUntilTime: retainUntil.toISOString() } }),
    };
  }
}

interface Upload {
  readonly key: string;
  readonly how: PutOptions;
  readonly mark: string;
}

function digestInto(hash: Hash, { bytes }: Part): void {
  for (const piece of bytes) hash.update(piece);
}

function digest(hash: Hash, part: Part): string {
  digestInto(hash, part);
  return hash.digest('base64');
}

/** What follows the first `skipped` bytes. */
function tailOf(bytes: readonly Uint8Array[], skipped: number): Uint8Array[] {
  let left = skipped;
  return bytes.flatMap((piece) => {
    const from = Math.min(left, piece.length);
    left -= from;
    return from === piece.length ? [] : [piece.subarray(from)];
  });
}
