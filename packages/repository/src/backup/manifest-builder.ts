import { hash } from 'node:crypto';
import type { Compressor } from '@keyframe/contracts';
import type { NewObject } from '../encryption/writing-keys.ts';
import { type ChunkLine, CHUNK, encodeChunkIndex, SECTION, VERBATIM } from '../format/chunk-index.ts';
import { encodeDirectory } from '../format/container-tail.ts';
import { compressPayload, ContainerLayout, encodeFrame } from '../format/container-layout.ts';
import { EntriesEncoder } from '../format/entries.ts';
import { type ContentRecord, type ExtentRecord, ExtentsEncoder, type FrameRecord } from '../format/extents.ts';
import { encodePacks, type PackLine, PathIndexEncoder } from '../format/manifest-tables.ts';
import type { Json } from '../format/sealed-json.ts';
import type { FrameRole } from './frame-pipeline.ts';
import type { ManifestBytes, ManifestSpool } from './manifest-spool.ts';
import type { ManifestEntry } from './manifest.ts';

const VERBATIM_PIECE_BYTES = 1 << 20;
const PATHS_PER_CHUNK = 1 << 15;

export interface ManifestBuilderOptions {
  /** Of the manifest's object; undefined where nothing is encrypted. */
  readonly encryption?: NewObject | undefined;
  readonly compressor: Compressor;
  readonly spool: ManifestSpool;
  readonly chunkBytes: number;
  readonly header: Readonly<Record<string, Json>>;
}

/** A manifest whose bytes are complete. */
export interface BuiltManifest {
  readonly bytes: ManifestBytes;
  /** SHA-256 of the footer. */
  readonly root: Buffer;
}

/** Writes the manifest while the backup goes on, chunk by chunk. */
export class ManifestBuilder {
  readonly #options: ManifestBuilderOptions;
  readonly #layout: ContainerLayout;
  readonly #lines: ChunkLine[] = [];
  readonly #entries = new EntriesEncoder();
  readonly #extents: Readonly<Record<FrameRole, ExtentsEncoder>> = {
    bundle: new ExtentsEncoder(),
    data: new ExtentsEncoder(),
  };
  readonly #paths = new PathIndexEncoder();
  #entryCount = 0;
  #firstEntry = 0;
  #writing: Promise<void> = Promise.resolve();

  constructor(options: ManifestBuilderOptions) {
    this.#options = options;
    this.#layout = new ContainerLayout('manifest', { ...options.header, encryption: options.encryption?.header });
    options.spool.add(this.#layout.head);
  }

  /** The ordinal that the next entry gets. */
  get nextOrdinal(): number {
    return this.#entryCount;
  }

  /** Adds the entry with {@link nextOrdinal}. */
  entry(entry: ManifestEntry): void | Promise<void> {
    this.#paths.add(entry.rawPath ?? Buffer.from(entry.path));
    this.#entries.add(entry);
    this.#entryCount += 1;
    if (this.#entries.sizeBytes >= this.#options.chunkBytes) return this.#closeEntries();
  }

  /** Adds a frame that lies in a pack, with the extents it holds. */
  frame(role: FrameRole, frame: FrameRecord): void | Promise<void> {
    const extents = this.#extents[role];
    extents.add(frame);
    return this.#relieve(extents);
  }

  /** Adds a range that is all zero. */
  zeros(role: FrameRole, range: ExtentRecord): void | Promise<void> {
    const extents = this.#extents[role];
    extents.addZeros(range);
    return this.#relieve(extents);
  }

  /** Adds what a range holds. */
  content(role: FrameRole, content: ContentRecord): void | Promise<void> {
    const extents = this.#extents[role];
    extents.addContent(content);
    return this.#relieve(extents);
  }

  #relieve(extents: ExtentsEncoder): void | Promise<void> {
    if (extents.sizeBytes >= this.#options.chunkBytes) return this.#closeExtents(extents);
  }

  /** Adds what is left of the chunks that grow with the database. */
  async closeLists(): Promise<void> {
    await this.#closeExtents(this.#extents.bundle);
    await this.#closeExtents(this.#extents.data);
    await this.#closeEntries();
    for (const { first, last, plain } of this.#paths.chunks(PATHS_PER_CHUNK))
      await this.#chunk(CHUNK.paths, first, last, plain);
  }

  /** Adds a text byte for byte. */
  async verbatim(name: keyof typeof VERBATIM, bytes: Uint8Array): Promise<void> {
    const pieces = Math.max(1, Math.ceil(bytes.length / VERBATIM_PIECE_BYTES));
    for (let piece = 0; piece < pieces; piece += 1) {
      const start = piece * VERBATIM_PIECE_BYTES;
      await this.#chunk(CHUNK.verbatim, VERBATIM[name], piece, bytes.subarray(start, start + VERBATIM_PIECE_BYTES));
    }
  }

  /** Ends the manifest: no pack may be begun any more. */
  async finish(packs: readonly PackLine[], facts: Uint8Array): Promise<BuiltManifest> {
    const { spool } = this.#options;
    await this.#writing;
    await this.#write({ kind: CHUNK.packs, first: 0, last: packs.length - 1 }, encodePacks(packs));
    await this.#write({ kind: CHUNK.facts, first: 0, last: 0 }, facts);
    const cipher = this.#options.encryption?.frames;
    const plain = encodeChunkIndex(this.#lines);
    const index = cipher?.sealSection(SECTION.chunkIndex, plain) ?? plain;
    const section = { id: SECTION.chunkIndex, offset: 0, sizeBytes: index.length, sealed: cipher !== undefined };
    const directory = encodeDirectory([section]);
    const tail = Buffer.concat([index, directory]);
    const { table, footer } = this.#layout.end(tail.length, hash('sha256', tail, 'buffer'));
    for (const part of [table, tail, footer]) spool.add(part);
    return { bytes: spool.finish(), root: hash('sha256', footer, 'buffer') };
  }

  #closeEntries(): Promise<void> {
    const first = this.#firstEntry;
    this.#firstEntry = this.#entryCount;
    return this.#chunk(CHUNK.entries, first, this.#entryCount - 1, this.#entries.take());
  }

  #closeExtents(extents: ExtentsEncoder): Promise<void> {
    const { first, last } = extents;
    return last < 0 ? Promise.resolve() : this.#chunk(CHUNK.extents, first, last, extents.take());
  }

  /** Chunks are written one after the other, whoever closes them. */
  #chunk(kind: number, first: number, last: number, plain: Uint8Array): Promise<void> {
    const previous = this.#writing;
    this.#writing = (async () => {
      await previous;
      await this.#write({ kind, first, last }, plain);
      await this.#options.spool.relieve();
    })();
    return this.#writing;
  }

  async #write(line: ChunkLine, plain: Uint8Array): Promise<void> {
    if (line.last < line.first && line.kind !== CHUNK.verbatim) return; // an empty list
    const payload = await compressPayload(this.#options.compressor, plain);
    const cipher = this.#options.encryption?.frames;
    const number = this.#layout.entries.length;
    const frame = encodeFrame({ number, plainBytes: plain.length, payload, cipher });
    this.#layout.add(frame, plain.length);
    this.#lines.push(line);
    this.#options.spool.add(frame);
  }
}
