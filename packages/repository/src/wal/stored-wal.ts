import {
  type Abortable,
  type ByteSource,
  type ByteStream,
  hasCode,
  KeyframeError,
  parseWalFileName,
  type WalFileName,
} from '@keyframe/contracts';

import type { WritingKeys } from '../encryption/writing-keys.ts';
import type { EpochContext } from '../epoch-context.ts';
import { decodeFooter, FOOTER_BYTES } from '../format/container-tail.ts';
import { FORMAT } from '../format/sealed-json.ts';
import { walKey } from '../keys.ts';
import { readRange } from '../objects/read-range.ts';
import { readProven, withCopies } from '../objects/with-copies.ts';
import { assertBelongs, assertWhole } from './facts.ts';
import { contiguousEnd, parseWalPart, partOfKey, type WalPartName, walPartName } from './part-name.ts';
import { listParts, openStreamed, openWal, type OpenWal, partKey, partKeyOf } from './streamed-wal.ts';
import type { WalArchive, WalFile, WalObjectHeader, WalPart } from './wal-archive.ts';
import { InventoryBuilder, type WalInventory } from './wal-inventory.ts';
import { type KnownContent, WalBodies, type WalBody } from './wal-body.ts';
import { encodeWalObject, HEADER_READ_BYTES, isIndex, readHeader } from './wal-object.ts';

/** An object to be created. */
interface NewWalObject {
  readonly key: string;
  readonly file: Pick<WalFile, 'name' | 'content' | 'reader'>;
  readonly keys: WritingKeys | undefined;
  /** Once its content was read: refuses what is not whole. */
  readonly describe: (content: KnownContent) => WalObjectHeader;
}

/** How far the file of such an object was read. */
interface Reading {
  body?: Promise<WalBody>;
  fault?: Error;
}

/** The WAL archive of one epoch. */
export class StoredWal implements WalArchive {
  readonly #context: EpochContext;
  readonly #bodies: WalBodies;

  constructor(context: EpochContext) {
    this.#context = context;
    this.#bodies = new WalBodies(context);
  }

  async put(file: WalFile, { signal }: Abortable = {}): Promise<'archived' | 'already-archived'> {
    const name = parsed(file.name);
    assertBelongs(file, name, this.#context.epoch);
    const keys = await this.#context.keyring.writing({ signal });
    const describe = (content: KnownContent): WalObjectHeader => {
      assertWhole(file, name, content.sizeBytes);
      return this.#describe(file, name, content, keys);
    };
    return this.#store({ key: this.#context.prefix + walKey(name), file, keys, describe }, signal);
  }

  /** The file is read when the store asks for the object: where that is there already, it is hashed and not compressed. */
  async #store(
    { key, file, keys, describe }: NewWalObject,
    signal: AbortSignal | undefined,
  ): Promise<'archived' | 'already-archived'> {
    const { store } = this.#context;
    const reading: Reading = {};
    const source: ByteSource = {
      sizeBytes: undefined,
      // A new data key each time: a second attempt must not use a nonce again.
      open: () => this.#encode({ key, file, keys, describe }, reading, signal),
    };
    try {
      const exists = store.capabilities.conditionalPut !== true && (await store.stat(key, { signal })) !== undefined;
      if (!exists) {
        await store.put(key, source, { signal, ...(store.capabilities.conditionalPut === true && { ifAbsent: true }) });
        return 'archived';
      }
    } catch (error) {
      // A fault of the file is not one of the store, in whose words it comes back.
      if (reading.fault !== undefined) throw reading.fault;
      if (!hasCode(error, 'ALREADY_EXISTS')) throw error;
    }
    const content = await (reading.body ?? this.#bodies.known(file, signal));
    await this.#confirm(key, describe(content), content.sha256, signal);
    return 'already-archived';
  }

  async *#encode(
    { key, file, keys, describe }: NewWalObject,
    reading: Reading,
    signal: AbortSignal | undefined,
  ): ByteStream {
    try {
      reading.body ??= this.#bodies.read(file, signal);
      const body = await reading.body;
      const header = describe(body);
      const encryption = isIndex(header) ? keys?.indexed(key) : keys?.data(key);
      yield* encodeWalObject(this.#context, body, header, encryption);
    } catch (error) {
      if (error instanceof Error) reading.fault = error;
      throw error;
    }
  }

  async get(name: string, { signal }: Abortable = {}): Promise<OpenWal | undefined> {
    const key = this.#key(name);
    try {
      return await openWal(this.#context, { key, name, signal });
    } catch (error) {
      if (hasCode(error, 'NOT_FOUND')) return undefined;
      throw error;
    }
  }

  async header(name: string, { signal }: Abortable = {}): Promise<WalObjectHeader | undefined> {
    const key = this.#key(name);
    const info = await this.#context.store.stat(key, { signal });
    return info === undefined ? undefined : this.#readHeader(key, info.sizeBytes, signal);
  }

  async identity(sha256: string, generation: number, options: Abortable = {}): Promise<string> {
    return generation === 0 ? sha256 : (await this.#context.keyring.index(generation, options)).walIdentity(sha256);
  }

  async has(name: string, { signal }: Abortable = {}): Promise<boolean> {
    const key = this.#context.prefix + walKey(parsed(name));
    return (await this.#context.store.stat(key, { signal })) !== undefined;
  }

  async putPart({ segment, start, content, facts }: WalPart, { signal }: Abortable = {}): Promise<string> {
    const name = parsed(segment);
    const end = start + content.sizeBytes;
    const part = parseWalPart(walPartName(segment, start, end));
    if (part === undefined || end > facts.segmentSizeBytes)
      throw new KeyframeError('INTERNAL', `bytes ${start} to ${end} are no part of a segment ${segment}`);
    const file = { name: part.name, content, facts };
    assertBelongs(file, name, this.#context.epoch);
    const keys = await this.#context.keyring.writing({ signal });
    const describe = (known: KnownContent): WalObjectHeader => {
      if (known.sizeBytes !== content.sizeBytes)
        throw new KeyframeError('INTERNAL', `${part.name} has ${known.sizeBytes} bytes, not ${content.sizeBytes}`);
      return this.#describe(file, { kind: 'part', timeline: part.timeline }, known, keys);
    };
    await this.#store({ key: this.#context.prefix + partKey(part), file, keys, describe }, signal);
    return part.name;
  }

  async streamedBytes(segment: string, { signal }: Abortable = {}): Promise<number> {
    const name = parsed(segment);
    return name.kind === 'segment' ? contiguousEnd(await listParts(this.#context, name, signal)) : 0;
  }

  async getStreamed(segment: string, endBytes: number, { signal }: Abortable = {}): Promise<OpenWal | undefined> {
    const name = parsed(segment);
    const whole = await this.get(segment, { signal });
    if (whole !== undefined || name.kind !== 'segment') return whole;
    const streamed = await openStreamed(this.#context, { segment: name, endBytes, signal });
    // Between the two looks it may have been stored whole, and its parts removed.
    return streamed ?? this.get(segment, { signal });
  }

  async removeParts(
    segment: string,
    { known, sha256 }: Parameters<WalArchive['removeParts']>[1],
    { signal }: Abortable = {},
  ): Promise<readonly string[]> {
    const name = parsed(segment);
    if (name.kind !== 'segment') return [];
    const equal: string[] = [];
    const other: string[] = [];
    for (const part of await listParts(this.#context, name, signal)) {
      const isKnown = known.has(part.name);
      if (!isKnown && sha256 === undefined) continue;
      const isEqual = isKnown || (await this.#holds(part, (await sha256?.(part.start, part.end)) ?? '', signal));
      (isEqual ? equal : other).push(part.name);
    }
    const keys = equal.map((each) => this.#key(each));
    if (keys.length > 0) await this.#context.store.delete(keys, { signal });
    return other;
  }

  async #holds(part: WalPartName, sha256: string, signal: AbortSignal | undefined): Promise<boolean> {
    const header = await this.header(part.name, { signal });
    return header === undefined || header.identity === (await this.identity(sha256, header.generation, { signal }));
  }

  #key(name: string): string {
    return this.#context.prefix + (partKeyOf(name) ?? walKey(parsed(name)));
  }

  async inventory(options: Abortable & { readonly segmentSizeBytes?: number | undefined } = {}): Promise<WalInventory> {
    const builder = new InventoryBuilder();
    const prefix = `${this.#context.prefix}wal/`;
    for await (const { key } of this.#context.store.list(prefix, { signal: options.signal })) {
      const name = parseWalFileName(key.slice(key.lastIndexOf('/') + 1));
      const part = name === undefined ? partOfKey(key) : undefined;
      // What lies elsewhere than its name says is not ours.
      if (name !== undefined && this.#context.prefix + walKey(name) === key) builder.add(name);
      if (part !== undefined && this.#context.prefix + partKey(part) === key) builder.addPart(part);
    }
    const { segmentSizeBytes = await this.#segmentSize(builder.sample, options.signal) } = options;
    return builder.finish(segmentSizeBytes);
  }

  /** The object there must be whole and hold the same bytes. */
  async #confirm(
    key: string,
    offered: WalObjectHeader,
    sha256: string,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const info = await this.#context.store.stat(key, { signal });
    const sizeBytes = info?.sizeBytes ?? 0;
    const stored = await this.#readHeader(key, sizeBytes, signal);
    const same =
      stored.identity === (await this.identity(sha256, stored.generation, { signal })) &&
      stored.sizeBytes === offered.sizeBytes &&
      stored.name === offered.name &&
      stored.systemIdentifier === offered.systemIdentifier;
    // Two copies recovered to one moment write the same history file, and what follows differs.
    const reserved = stored.adoption !== undefined && offered.adoption !== undefined;
    const adoptedByOther = reserved && stored.adoption !== offered.adoption;
    if (!same || adoptedByOther)
      throw new KeyframeError('WAL_MISMATCH', `the archive holds another WAL file ${offered.name}`, {
        hint: 'Keep the file in pg_wal, and check with `keyframe doctor` that no second cluster archives here.',
        details: { key, archived: stored.identity, offered: offered.identity },
      });
    const start = Math.max(0, sizeBytes - FOOTER_BYTES);
    const verify = (bytes: Buffer): void => void decodeFooter(bytes, sizeBytes, key);
    await readProven(this.#context.store, key, { start, end: sizeBytes }, { verify, signal });
  }

  async #readHeader(key: string, sizeBytes: number, signal: AbortSignal | undefined): Promise<WalObjectHeader> {
    const end = Math.min(sizeBytes, HEADER_READ_BYTES);
    return withCopies(this.#context.store, key, async (copy) => {
      const { encryption: _, ...header } = readHeader(this.#context, await readRange(copy, key, 0, end, signal), key);
      return header;
    });
  }

  #describe(
    file: Pick<WalFile, 'name' | 'facts' | 'adoption' | 'origin'>,
    name: Pick<WalObjectHeader, 'kind' | 'timeline'>,
    { sizeBytes, sha256 }: KnownContent,
    keys: WritingKeys | undefined,
  ): WalObjectHeader {
    const { systemIdentifier, segmentSizeBytes } = file.facts;
    const { kind, timeline } = name;
    const codec = this.#context.compressor.id;
    const origin = { name: file.name, kind, systemIdentifier, timeline, segmentSizeBytes };
    const identity = keys?.index.walIdentity(sha256) ?? sha256;
    const generation = keys?.generation ?? 0;
    const { adoption, origin: copied } = file;
    return { format: FORMAT, ...origin, sizeBytes, identity, generation, codec, adoption, origin: copied };
  }

  /** From any segment's header, since all of an epoch have one size. */
  async #segmentSize(name: string | undefined, signal: AbortSignal | undefined): Promise<number> {
    const header = name === undefined ? undefined : await this.header(name, { signal });
    return header?.segmentSizeBytes ?? DEFAULT_SEGMENT_BYTES;
  }
}

/** Only ever used for an archive without a single segment, where no number depends on it. */
const DEFAULT_SEGMENT_BYTES = 16 << 20;

function parsed(name: string): WalFileName {
  const file = parseWalFileName(name);
  if (file === undefined)
    throw new KeyframeError('INVALID_OPTION', `${JSON.stringify(name)} is not the name of a WAL file`, {
      hint: 'Pass %f of `archive_command` or `restore_command` as it is.',
    });
  return file;
}
