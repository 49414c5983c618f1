/** One pack, frame by frame, under the keys of another repository. @packageDocumentation */
import { hash } from 'node:crypto';
import { type ByteSource, type ByteStream, hasCode, KeyframeError } from '@keyframe/contracts';
import type { PackUse } from '../backup/manifest.ts';
import { readOutline } from '../checks/outline.ts';
import { encodeSealedKey } from '../encryption/keyring.ts';
import type { ObjectCipher } from '../encryption/object-cipher.ts';
import type { EpochContext } from '../epoch-context.ts';
import { SECTION } from '../format/chunk-index.ts';
import { assertSha256 } from '../format/container.ts';
import { encodeDirectory, encodeTable, type TableEntry } from '../format/container-tail.ts';
import { ContainerLayout, encodeFrame } from '../format/container-layout.ts';
import type { PackLine } from '../format/manifest-tables.ts';
import { PackContentEncoder, type PackedContent } from '../format/pack-content.ts';
import type { Json } from '../format/sealed-json.ts';
import { ByteCursor } from '../objects/byte-cursor.ts';
import { checkObject } from '../objects/check-object.ts';
import { damaged } from '../objects/damage.ts';
import { letGo } from '../objects/let-go.ts';
import { readProven, withCopies } from '../objects/with-copies.ts';
import type { ContentHashes } from './content-hashes.ts';
import { isFrom, originJson, originOf } from './origin.ts';
import { readPack, type ReadPack } from './read-pack.ts';
import { Rehash } from './rehash.ts';

/** From where to where, one epoch of one cluster. */
export interface TranslationPlaces {
  readonly from: EpochContext;
  readonly to: EpochContext;
  readonly signal: AbortSignal | undefined;
}

/** What became of a pack. */
export interface TranslatedPack {
  /**
   * The pack at the target, as a manifest of another backup names it. Undefined: it holds pieces of the manifest as it was,
   * which nobody needs under other keys.
   */
  readonly line: PackLine | undefined;
  readonly sizeBytes: number;
  readonly isNew: boolean;
}

/**
 * Brings a pack over, or recognises the copy that an earlier run made of it. What was written is read back and proven.
 * `trusted`: a copy that is there was proven before, so its frame table is enough.
 * @throws {KeyframeError} CORRUPT, CONFLICT when another object has its name
 */
export async function translatePack(
  places: TranslationPlaces,
  use: PackUse,
  { hashes, trusted }: { readonly hashes: ContentHashes; readonly trusted: boolean },
): Promise<TranslatedPack> {
  const { from, to, signal } = places;
  const present = await readPack(to, use, signal);
  const isKnown = present !== undefined && (await isCopyOf(places, present, use));
  if (present !== undefined && !isKnown) throw another(use.key);
  const source = await readPack(from, use, signal);
  if (source === undefined) throw damaged(use.key, 'it is missing');
  assertNamed(source, use);
  if (source.role === 'manifest') return { line: undefined, sizeBytes: 0, isNew: false };
  const isNew = present === undefined && (await put(places, source, use));
  if (!trusted || isNew) await checkObject(to.store, to.codecs, use.key, signal);
  const copy = present ?? (await readPack(to, use, signal));
  if (copy === undefined || !(await isCopyOf(places, copy, use))) throw another(use.key);
  pair(source, copy, hashes);
  return { line: lineOf(copy, use), sizeBytes: copy.sizeBytes, isNew };
}

/** Bytes of the frame table of a pack at the target. @throws {KeyframeError} CORRUPT */
export async function readTargetTable({ to, signal }: TranslationPlaces, { key }: PackUse): Promise<Buffer> {
  const info = await to.store.stat(key, { signal });
  if (info === undefined) throw damaged(key, 'it is missing');
  const object = { key, sizeBytes: info.sizeBytes, kind: 'pack' as const };
  return encodeTable((await withCopies(to.store, key, (copy) => readOutline(copy, object, signal))).table);
}

/** False: another process was first. */
async function put(places: TranslationPlaces, source: ReadPack, use: PackUse): Promise<boolean> {
  const { store } = places.to;
  const bytes = await translation(places, source, use);
  try {
    await store.put(use.key, bytes, {
      signal: places.signal,
      ...(store.capabilities.conditionalPut === true && { ifAbsent: true }),
    });
    return true;
  } catch (error) {
    if (!hasCode(error, 'ALREADY_EXISTS')) throw error;
    return false;
  }
}

/** Its keys are made once: a store that opens it twice gets the same bytes. */
async function translation(places: TranslationPlaces, source: ReadPack, use: PackUse): Promise<ByteSource> {
  const { from, to, signal } = places;
  const keys = await to.keyring.writing({ signal });
  const own = keys?.pack(use.key);
  const contentKey = keys?.index.contentKey ?? to.contentKey;
  const sealed = source.encryption?.sealed;
  const cipher = sealed && (await from.keyring.data(sealed, use.key, { signal }));
  const header: Record<string, Json | undefined> = {
    repository: to.repositoryId,
    cluster: to.cluster,
    epoch: use.epoch,
    backup: use.label,
    pack: use.number,
    role: source.role,
    origin: originJson(originOf(from.repositoryId, tableOf(use), keys)),
    encryption: own?.header,
  };
  const open = async function* (): ByteStream {
    const layout = new ContainerLayout('pack', header);
    yield layout.head;
    const content = new Rehash(source.content, contentKey);
    for await (const frame of framesOf(places, source)) {
      const { number, entry, stored } = frame;
      const { plainBytes } = entry;
      const unsealed = from.codecs.unseal(stored, { number, plainBytes, cipher }, source.key);
      if (content.wants(number)) {
        const plain = await from.codecs.expand(unsealed, source.key);
        content.take(number, plain);
        if (plain !== unsealed.payload) letGo(plain);
      }
      const payload = { codec: unsealed.header.codec, bytes: unsealed.payload };
      const written = encodeFrame({ number, plainBytes, payload, cipher: own?.frames });
      letGo(unsealed.payload);
      letGo(stored);
      layout.add(written, plainBytes);
      yield written;
    }
    const tail = tailOf(content, own?.tail);
    const { table, footer } = layout.end(tail.length, hash('sha256', tail, 'buffer'));
    yield table;
    yield tail;
    yield footer;
  };
  return { sizeBytes: undefined, open };
}

function tailOf(content: Rehash, cipher: ObjectCipher | undefined): Buffer {
  const encoder = new PackContentEncoder();
  for (const frame of content.frames()) encoder.add(frame);
  const plain = encoder.bytes();
  const section = cipher?.sealSection(SECTION.packContent, plain) ?? plain;
  const place = { id: SECTION.packContent, offset: 0, sizeBytes: section.length, sealed: cipher !== undefined };
  return Buffer.concat([section, encodeDirectory([place])]);
}

/** Every frame's stored bytes, proven, from another copy of the pack where this one is damaged. */
async function* framesOf(
  { from: { store }, signal }: TranslationPlaces,
  { key, outline }: ReadPack,
): AsyncGenerator<{ readonly number: number; readonly entry: TableEntry; readonly stored: Buffer }> {
  const { table, footer, head } = outline;
  if (table.length === 0) return;
  const range = { start: head.length, end: footer.tableOffset };
  const cursor = new ByteCursor(await store.get(key, { range, signal }), key);
  try {
    for (const [number, entry] of table.entries()) {
      const verify = (bytes: Buffer): void => assertSha256(bytes, entry.sha256, key, `frame ${number}`);
      let stored = await cursor.read(entry.storedBytes);
      try {
        verify(stored);
      } catch (error) {
        if (store.copies === undefined) throw error;
        const place = { start: entry.offset, end: entry.offset + entry.storedBytes };
        stored = await readProven(store, key, place, { verify, signal });
      }
      yield { number, entry, stored };
    }
  } finally {
    await cursor.close();
  }
}

/** The pack there is the one that the manifest, and with it the signed record, means. */
function assertNamed({ key, outline: { footer } }: ReadPack, use: PackUse): void {
  const isSame =
    footer.tableOffset === use.tableOffset &&
    footer.frames === use.frames &&
    Buffer.compare(footer.tableSha256, use.tableSha256) === 0;
  if (!isSame) throw damaged(key, 'it is not the pack that the manifest names');
}

function isCopyOf({ from, to, signal }: TranslationPlaces, copy: ReadPack, use: PackUse): Promise<boolean> {
  const source = { repository: from.repositoryId, sha256: tableOf(use) };
  return isFrom(copy.origin, source, to.keyring, { signal });
}

const tableOf = ({ tableSha256 }: PackUse): string => Buffer.from(tableSha256).toString('hex');

function lineOf({ outline, encryption }: ReadPack, { epoch, label, number, liveBytes }: PackUse): PackLine {
  const { tableOffset, frames, tableSha256 } = outline.footer;
  const sealedKey = encryption?.sealed && encodeSealedKey(encryption.sealed);
  return { epoch, label, number, tableOffset, frames, tableSha256, liveBytes, sealedKey };
}

/** Learns what each content is called at the target. */
function pair(source: ReadPack, copy: ReadPack, hashes: ContentHashes): void {
  const placeOf = ({ file, fileOffset }: PackedContent): string =>
    `${fileOffset}/${Buffer.from(file.path).toString('latin1')}`;
  for (const [number, { contents }] of copy.content.entries()) {
    const before = new Map(source.content[number]?.contents.map((each) => [placeOf(each), each.hash]));
    for (const content of contents) {
      const known = before.get(placeOf(content));
      if (known !== undefined) hashes.add(known, content.hash);
    }
  }
}

function another(key: string): KeyframeError {
  return new KeyframeError('CONFLICT', `the target has another object ${key}`, {
    hint: 'Copy into a repository of its own (`keyframe repository create`): this one has backups of the same name.',
    details: { key },
  });
}
