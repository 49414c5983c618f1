/** A manifest under the keys of another repository, chunk by chunk. @packageDocumentation */
import { createHash, hash } from 'node:crypto';
import { type ByteSource, type ByteStream, KeyframeError } from '@keyframe/contracts';
import { type DescribedBackup, encodeDescription } from '../backup/record-json.ts';
import type { StoredManifest } from '../backup/stored-manifest.ts';
import type { NewObject, WritingKeys } from '../encryption/writing-keys.ts';
import { type ChunkLine, CHUNK, encodeChunkIndex, SECTION } from '../format/chunk-index.ts';
import { encodeDirectory, TABLE_ENTRY_BYTES, type TableEntry } from '../format/container-tail.ts';
import { compressPayload, ContainerLayout, encodeFrame } from '../format/container-layout.ts';
import { decodeContents, decodeExtents, ExtentsEncoder, type FrameRecord } from '../format/extents.ts';
import { encodePacks, type PackLine } from '../format/manifest-tables.ts';
import type { Json } from '../format/sealed-json.ts';
import { damaged } from '../objects/damage.ts';
import { Recent } from '../objects/recent.ts';
import type { ContentHashes } from './content-hashes.ts';
import { originJson, originOf } from './origin.ts';
import { readTargetTable, type TranslationPlaces } from './translate-pack.ts';

/** Frame tables that are kept while extents are written anew: 20 KiB each with packs of 32 MiB. */
const TABLES = 512;

/** What a manifest is made of. */
export interface ManifestParts {
  readonly manifest: StoredManifest;
  /** The packs at the target, by their index at the source; undefined for those that are not brought over. */
  readonly lines: readonly (PackLine | undefined)[];
  readonly hashes: ContentHashes;
  /** Of the pack that carries the manifest. */
  readonly carrier: { readonly key: string; readonly number: number };
}

/**
 * The pack that carries the manifest in its tail and holds nothing else: whatever the manifest names is there before it, so
 * it can be made in one piece, and in another run read back from there.
 */
export async function manifestCarrier(places: TranslationPlaces, parts: ManifestParts): Promise<ByteSource> {
  const { to, signal } = places;
  const keys = await to.keyring.writing({ signal });
  const { label } = parts.manifest.record;
  const encryption = keys?.indexed(`${to.prefix}backups/${label}/manifest`);
  const common = headerOf(places, parts, keys);
  const header = { ...common, pack: parts.carrier.number, role: 'manifest' };
  const sealed: Uint8Array[] = [];
  const open = async function* (): ByteStream {
    const layout = new ContainerLayout('pack', header);
    yield layout.head;
    const line = carrierLine(parts, layout.head.length);
    const tail = createHash('sha256');
    let sizeBytes = 0;
    for await (const piece of manifestBytes(places, parts, { header: common, encryption, line, sealed })) {
      tail.update(piece);
      sizeBytes += piece.length;
      yield piece;
    }
    const directory = encodeDirectory([{ id: SECTION.manifestCopy, offset: 0, sizeBytes }]);
    tail.update(directory);
    yield directory;
    yield layout.end(sizeBytes + directory.length, tail.digest()).footer;
  };
  return { sizeBytes: undefined, open };
}

function headerOf(
  { from, to }: TranslationPlaces,
  { manifest: { record } }: ManifestParts,
  keys: WritingKeys | undefined,
): Record<string, Json | undefined> {
  const { label, epoch, manifest } = record;
  const origin = originJson(originOf(from.repositoryId, manifest.root, keys));
  return { repository: to.repositoryId, cluster: to.cluster, epoch, backup: label, origin };
}

function carrierLine({ carrier: { number }, manifest: { record } }: ManifestParts, tableOffset: number): PackLine {
  const tableSha256 = hash('sha256', '', 'buffer');
  return { epoch: record.epoch, label: record.label, number, tableOffset, frames: 0, tableSha256, liveBytes: 0 };
}

interface Making {
  readonly header: Record<string, Json | undefined>;
  readonly encryption: NewObject | undefined;
  readonly line: PackLine;
  /** Hashes of the chunks as they were made first: a store may open it again, and a nonce must not see other content. */
  readonly sealed: Uint8Array[];
}

async function* manifestBytes(places: TranslationPlaces, parts: ManifestParts, making: Making): ByteStream {
  const { manifest } = parts;
  const { encryption } = making;
  const { compressor } = places.to;
  const layout = new ContainerLayout('manifest', { ...making.header, encryption: encryption?.header });
  yield layout.head;
  const lines: ChunkLine[] = [];
  const frame = async (line: ChunkLine, plain: Uint8Array): Promise<Buffer> => {
    const payload = await compressPayload(compressor, plain);
    const number = layout.entries.length;
    const stored = encodeFrame({ number, plainBytes: plain.length, payload, cipher: encryption?.frames });
    const { sha256 } = layout.add(stored, plain.length);
    if (Buffer.compare((making.sealed[number] ??= sha256), sha256) !== 0)
      throw new KeyframeError('INTERNAL', `${compressor.id} made other bytes of the same content`);
    lines.push(line);
    return stored;
  };
  const extents = new ExtentsTranslation(places, parts);
  for (const { number, line } of chunksOf(manifest)) {
    const plain = await manifest.chunk(number, places.signal);
    yield await frame(line, line.kind === CHUNK.extents ? await extents.translate(plain) : plain);
  }
  const packs = [...parts.lines.filter((line) => line !== undefined), making.line].map((line) =>
    named(line, manifest.record),
  );
  yield await frame({ kind: CHUNK.packs, first: 0, last: packs.length - 1 }, encodePacks(packs));
  const facts = describe(places, parts, extents.readBytes);
  yield await frame({ kind: CHUNK.facts, first: 0, last: 0 }, encodeDescription(await facts));
  const index = encodeChunkIndex(lines);
  const section = encryption?.frames.sealSection(SECTION.chunkIndex, index) ?? index;
  const place = { id: SECTION.chunkIndex, offset: 0, sizeBytes: section.length, sealed: encryption !== undefined };
  const tail = Buffer.concat([section, encodeDirectory([place])]);
  const { table, footer } = layout.end(tail.length, hash('sha256', tail, 'buffer'));
  yield Buffer.concat([table, tail, footer]);
}

/** Chunks that are brought over as they are or written anew, in their order. Of kinds that are not known nothing can be said. */
function chunksOf(manifest: StoredManifest): { readonly number: number; readonly line: ChunkLine }[] {
  return [CHUNK.verbatim, CHUNK.entries, CHUNK.extents, CHUNK.paths]
    .flatMap((kind) => manifest.chunksOf(kind))
    .toSorted((one, other) => one.number - other.number);
}

/** As a manifest names its own packs: without epoch and label. */
function named(line: PackLine, record: { readonly epoch: number; readonly label: string }): PackLine {
  const epoch = line.epoch === record.epoch ? 0 : line.epoch;
  return { ...line, epoch, label: line.epoch === record.epoch && line.label === record.label ? '' : line.label };
}

/** What the manifest says of its backup: the same but for what the copy is made of. */
async function describe(
  { from, to, signal }: TranslationPlaces,
  { manifest: { record }, lines }: ManifestParts,
  readBytes: number,
): Promise<DescribedBackup> {
  const { manifest, storedBytes: _, fragmentation, damagedPages, ...rest } = record;
  const keys = await to.keyring.writing({ signal });
  const own = lines.filter((line) => line?.label === record.label && line.epoch === record.epoch);
  // The record is readable to whoever sees the store: names of tables must not be.
  const pages = keys === undefined ? damagedPages : damagedPages?.map(({ path, block }) => ({ path, block }));
  return {
    ...rest,
    packs: own.length + 1,
    ...(fragmentation && { fragmentation: { ...fragmentation, readBytes } }),
    ...(pages && { damagedPages: pages }),
    origin: originOf(from.repositoryId, manifest.root, keys),
  };
}

/** Writes chunks of extents anew: other packs' offsets and hashes, and other names of content. */
class ExtentsTranslation {
  /** Stored bytes of all frames that were named. */
  readBytes = 0;
  readonly #places: TranslationPlaces;
  readonly #parts: ManifestParts;
  readonly #indexes: readonly number[];
  readonly #tables = new Recent<number, Buffer>(TABLES);

  constructor(places: TranslationPlaces, parts: ManifestParts) {
    this.#places = places;
    this.#parts = parts;
    let next = 0;
    this.#indexes = parts.lines.map((line) => (line === undefined ? -1 : next++));
  }

  async translate(plain: Buffer): Promise<Buffer> {
    const { manifest, hashes } = this.#parts;
    const { key } = manifest.record.manifest;
    const { frames, zeros, contents } = decodeExtents(plain, key);
    const encoder = new ExtentsEncoder();
    for (const frame of frames) encoder.add(await this.#frame(frame));
    for (const zero of zeros) encoder.addZeros(zero);
    for (const section of contents)
      for (const content of decodeContents(section, key)) {
        const known = hashes.get(content.hash);
        if (known !== undefined) encoder.addContent({ ...content, hash: known });
      }
    return encoder.take();
  }

  async #frame(frame: FrameRecord): Promise<FrameRecord> {
    const table = await this.#tables.get(frame.pack, () => this.#load(frame.pack));
    const entry = entryAt(table, frame.number);
    const pack = this.#indexes[frame.pack] ?? -1;
    if (entry?.plainBytes !== frame.plainBytes || pack < 0)
      throw damaged(
        this.#parts.manifest.packKey(frame.pack),
        `it has no frame ${frame.number} as the manifest names it`,
      );
    this.readBytes += entry.storedBytes;
    return { ...frame, ...entry, pack };
  }

  async #load(index: number): Promise<Buffer> {
    const use = this.#parts.manifest.packs()[index];
    if (use === undefined) throw damaged(this.#parts.manifest.record.manifest.key, `it has no pack ${index}`);
    return readTargetTable(this.#places, use);
  }
}

function entryAt(table: Buffer, number: number): TableEntry | undefined {
  const at = number * TABLE_ENTRY_BYTES;
  if (at + TABLE_ENTRY_BYTES > table.length) return undefined;
  return {
    offset: Number(table.readBigUInt64LE(at)),
    storedBytes: table.readUInt32LE(at + 8),
    plainBytes: table.readUInt32LE(at + 12),
    sha256: table.subarray(at + 16, at + TABLE_ENTRY_BYTES),
  };
}
