/** Uploads: in one request where the bytes fit in memory, else as blocks and a list of them. @packageDocumentation */
import { createHash, randomBytes } from 'node:crypto';
import { type ByteSource, hasCode, KeyframeError, type ObjectInfo, type PutOptions } from '@keyframe/contracts';
import { abortable, openExact } from '@keyframe/contracts/streams';
import { type HttpResponse, LostAnswers, type Part, partsOf } from '@keyframe/http';
import type { Azure } from './azure.ts';
import { headOf, infoOfHead, MARK, unquoted } from './read.ts';
import { notMadeForIt, wholeSecond } from './retention.ts';

const MIB = 1024 * 1024;

/** Stores objects in a container. */
export class Uploads {
  readonly #azure: Azure;
  readonly #lost = new LostAnswers();

  constructor(azure: Azure) {
    this.#azure = azure;
  }

  /** `put` of the contract. */
  async put(key: string, source: ByteSource, how: PutOptions): Promise<ObjectInfo> {
    this.#azure.nameOf(key);
    how.signal?.throwIfAborted();
    return this.#lost.put({
      key,
      how,
      attempt: (mark) => this.#attempt({ key, how, mark }, source),
      look: async () => {
        const found = await headOf(this.#azure, key, how.signal);
        return found && { info: infoOfHead(key, found), mark: String(found[MARK]) };
      },
    });
  }

  async #attempt(upload: Upload, source: ByteSource): Promise<ObjectInfo> {
    const { key, how } = upload;
    const stream = abortable(openExact(source), how.signal);
    const parts = partsOf(stream, this.#azure.options.partMiB * MIB, source.sizeBytes);
    try {
      const { value: first } = await parts.next();
      if (first === undefined) throw new KeyframeError('INTERNAL', `object '${key}': a source without any part`);
      return first.last ? await this.#whole(upload, first) : await this.#blocks(upload, first, parts);
    } catch (error) {
      throw ofCondition(how.retainUntil === undefined ? error : notMadeForIt(this.#azure, error), upload);
    } finally {
      await parts.return();
    }
  }

  /** The service compares the MD5 before it keeps anything, and keeps it with the object. */
  async #whole(upload: Upload, part: Part): Promise<ObjectInfo> {
    const md5 = md5Of(part.bytes);
    const headers = await this.#azure.headers({
      method: 'PUT',
      key: upload.key,
      headers: {
        ...this.#headersOf(upload),
        'content-md5': md5,
        'content-type': 'application/octet-stream',
        'x-ms-blob-type': 'BlockBlob',
      },
      body: part.bytes,
      signal: upload.how.signal,
    });
    return infoOfPut(upload.key, part.sizeBytes, headers);
  }

  /** Blocks are seen by nobody before the list of them is there. Those of a broken upload the service removes after a week. */
  async #blocks(upload: Upload, first: Part, rest: AsyncGenerator<Part, void, undefined>): Promise<ObjectInfo> {
    const { key, how } = upload;
    const series = randomBytes(12);
    const whole = createHash('md5');
    const ids: string[] = [];
    const failed = new AbortController();
    const signal = how.signal === undefined ? failed.signal : AbortSignal.any([failed.signal, how.signal]);
    const onTheWay = new Set<Promise<void>>();
    let sizeBytes = 0;
    try {
      for (let part: Part | undefined = first; part !== undefined;) {
        for (const piece of part.bytes) whole.update(piece);
        sizeBytes += part.sizeBytes;
        const id = blockId(series, ids.length);
        ids.push(id);
        const sending = this.#block(key, id, part, signal).then(() => void onTheWay.delete(sending));
        onTheWay.add(sending);
        sending.catch(() => undefined); // it is awaited below
        if (onTheWay.size >= this.#azure.options.parallelParts) await Promise.race(onTheWay);
        part = part.last ? undefined : ((await rest.next()).value ?? undefined);
      }
      await Promise.all(onTheWay);
    } catch (error) {
      failed.abort(error);
      await Promise.allSettled(onTheWay);
      throw error;
    }
    const list = ids.map((id) => `<Uncommitted>${id}</Uncommitted>`).join('');
    const body = Buffer.from(`<?xml version="1.0" encoding="utf-8"?><BlockList>${list}</BlockList>`);
    const headers = await this.#azure.headers({
      method: 'PUT',
      key,
      query: { comp: 'blocklist' },
      headers: {
        ...this.#headersOf(upload),
        'content-md5': md5Of([body]),
        'content-type': 'application/xml',
        'x-ms-blob-content-md5': whole.digest('base64'),
        'x-ms-blob-content-type': 'application/octet-stream',
      },
      body: [body],
      signal: how.signal,
    });
    return infoOfPut(key, sizeBytes, headers);
  }

  async #block(key: string, blockid: string, { bytes }: Part, signal: AbortSignal): Promise<void> {
    await this.#azure.headers({
      method: 'PUT',
      key,
      query: { comp: 'block', blockid },
      headers: { 'content-md5': md5Of(bytes), ...this.#encryption() },
      body: bytes,
      signal,
    });
  }

  #encryption(): Record<string, string | undefined> {
    return { 'x-ms-encryption-scope': this.#azure.options.encryptionScope, ...this.#azure.encryptionHeaders };
  }

  #headersOf({ how, mark }: Upload): Record<string, string | undefined> {
    const { ifAbsent, ifMatch, storageClass, retainUntil } = how;
    return {
      'if-none-match': ifAbsent === true ? '*' : undefined,
      'if-match': ifMatch === undefined ? undefined : `"${ifMatch}"`,
      'x-ms-access-tier': storageClass,
      'x-ms-immutability-policy-until-date': retainUntil && wholeSecond(retainUntil).toUTCString(),
      'x-ms-immutability-policy-mode': retainUntil === undefined ? undefined : this.#azure.options.retentionMode,
      [MARK]: mark,
      ...this.#encryption(),
    };
  }
}

interface Upload {
  readonly key: string;
  readonly how: PutOptions;
  readonly mark: string;
}

/** All of one length, which the service demands, and of no other upload: two writers of a key do not mix their blocks. */
function blockId(series: Buffer, index: number): string {
  const number = Buffer.alloc(4);
  number.writeUInt32BE(index);
  return Buffer.concat([series, number]).toString('base64');
}

function md5Of(bytes: readonly Uint8Array[]): string {
  const hash = createHash('md5');
  for (const piece of bytes) hash.update(piece);
  return hash.digest('base64');
}

function infoOfPut(key: string, sizeBytes: number, headers: HttpResponse['headers']): ObjectInfo {
  const { etag, 'last-modified': modified } = headers;
  const modifiedAt = new Date(modified ?? headers.date ?? 0);
  return { key, sizeBytes, modifiedAt, ...(etag === undefined ? {} : { version: unquoted(etag) }) };
}

/** The service answers 409 or 412 to one and the same condition, depending on the request that carries it. */
function ofCondition(error: unknown, { key, how }: Upload): unknown {
  if (!hasCode(error, 'CONFLICT', 'NOT_FOUND')) return error;
  const init = { cause: error, details: error.details };
  if (how.ifAbsent === true && error.code === 'CONFLICT')
    return new KeyframeError('ALREADY_EXISTS', `object '${key}' exists`, init);
  if (how.ifMatch === undefined) return error;
  return new KeyframeError('CONFLICT', `object '${key}' was replaced in between`, init);
}
