import { type Abortable, type KeyframeError } from '@keyframe/contracts';
import type { EpochContext } from '../epoch-context.ts';
import { CHUNK, type ChunkLine, VERBATIM } from '../format/chunk-index.ts';
import { decodeEntries } from '../format/entries.ts';
import { decodeExtents, type ExtentsChunk, type FrameRecord } from '../format/extents.ts';
import { decodePacks, ordinalsOf, pathHash } from '../format/manifest-tables.ts';
import { archivePrefix, packName } from '../keys.ts';
import { damaged } from '../objects/damage.ts';
import { type ManifestIndex, ManifestSource, readManifestIndex } from './manifest-source.ts';
import type { Extent, ManifestEntry, ManifestReader, PackUse } from './manifest.ts';
import type { OtherPack } from './pack-table.ts';
import type { BackupRecord } from './record.ts';

/** A manifest in the store. Loads what it is asked for, chunk by chunk; keeps only the index and the list of packs. */
export class StoredManifest implements ManifestReader {
  readonly record: BackupRecord;
  readonly #source: ManifestSource;
  readonly #index: ManifestIndex;
  /** Keys of packs by their index in extents. */
  readonly #packs: PackUse[] = [];
  /** The same, to be named by another manifest. */
  readonly #others: OtherPack[] = [];

  /** Under which it tells of content. */
  readonly contentKey: Uint8Array;

  private constructor(record: BackupRecord, source: ManifestSource, index: ManifestIndex, contentKey: Uint8Array) {
    this.record = record;
    this.contentKey = contentKey;
    this.#source = source;
    this.#index = index;
  }

  /** @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
  static async open(context: EpochContext, record: BackupRecord, { signal }: Abortable = {}): Promise<StoredManifest> {
    const source = new ManifestSource(context, record.manifest);
    const index = await readManifestIndex(source, record.manifest, signal);
    const { generation } = source;
    const keys = generation === undefined ? context : await context.keyring.index(generation, { signal });
    const manifest = new StoredManifest(record, source, index, keys.contentKey);
    for await (const { plain } of manifest.#chunks(CHUNK.packs, () => true, signal))
      for (const line of decodePacks(plain, source.key)) {
        const epoch = line.epoch === 0 ? record.epoch : line.epoch;
        const label = line.label === '' ? record.label : line.label;
        const key = `${archivePrefix(context.cluster, epoch)}backups/${label}/${packName(line.number)}`;
        const { number, tableOffset, frames, tableSha256, sealedKey } = line;
        const table = { tableOffset, frames, tableSha256 };
        manifest.#packs.push({ epoch, label, number, key, liveBytes: line.liveBytes, ...table });
        manifest.#others.push({ key, line: { epoch, label, number, ...table, sealedKey } });
      }
    return manifest;
  }

  packs(): readonly PackUse[] {
    return this.#packs;
  }

  get damage(): readonly KeyframeError[] {
    return this.#source.damage;
  }

  async *entries({ signal }: Abortable = {}): AsyncGenerator<ManifestEntry> {
    let next = 0;
    for await (const { line, plain } of this.#chunks(CHUNK.entries, () => true, signal)) {
      const entries = this.entriesOf(line, plain);
      if (line.first !== next) throw damaged(this.#source.key, 'its entries do not follow each other');
      next += entries.length;
      yield* entries;
    }
  }

  async find(path: string, { signal }: Abortable = {}): Promise<ManifestEntry | undefined> {
    const wanted = pathHash(Buffer.from(path));
    const holds = (line: ChunkLine): boolean => line.first <= wanted && wanted <= line.last;
    for await (const { plain } of this.#chunks(CHUNK.paths, holds, signal))
      for (const ordinal of ordinalsOf(plain, wanted)) {
        const entry = await this.#entryAt(ordinal, signal);
        if (entry?.path === path && entry.rawPath === undefined) return entry;
      }
    return undefined;
  }

  async extents(entry: ManifestEntry, { signal }: Abortable = {}): Promise<Extent[]> {
    const { ordinal } = entry;
    const extents: Extent[] = [];
    const holds = (line: ChunkLine): boolean => line.first <= ordinal && ordinal <= line.last;
    for await (const { frames, zeros } of this.extentChunks({ signal }, holds)) {
      for (const { extents: inFrame, pack, ...frame } of frames)
        for (const extent of inFrame)
          if (extent.ordinal === ordinal) extents.push({ ...extent, frame: { ...frame, pack: this.packKey(pack) } });
      for (const zero of zeros) if (zero.ordinal === ordinal) extents.push({ ...zero, frame: undefined });
    }
    return extents.toSorted((one, other) => one.fileOffset - other.fileOffset);
  }

  async serverManifest(options: Abortable = {}): Promise<Buffer> {
    return this.#required('serverManifest', options);
  }

  /** {@link serverManifest} in pieces. */
  async *serverManifestPieces({ signal }: Abortable = {}): AsyncGenerator<Buffer> {
    for await (const { plain } of this.#pieces('serverManifest', signal)) yield plain;
  }

  async backupLabel(options: Abortable = {}): Promise<Buffer> {
    return this.#required('backupLabel', options);
  }

  async tablespaceMap(options: Abortable = {}): Promise<Buffer | undefined> {
    return this.#verbatim('tablespaceMap', options);
  }

  /** Chunks of extents, in the order in which their frames were written. */
  async *extentChunks(
    { signal }: Abortable = {},
    holds: (line: ChunkLine) => boolean = () => true,
  ): AsyncGenerator<ExtentsChunk> {
    for await (const { plain } of this.#chunks(CHUNK.extents, holds, signal))
      yield decodeExtents(plain, this.#source.key);
  }

  /** The pack of that index. @throws {KeyframeError} CORRUPT */
  pack(index: number): OtherPack {
    const other = this.#others[index];
    if (other === undefined) throw damaged(this.#source.key, `it has no pack ${index}`);
    return other;
  }

  /** The chunks of a kind, for who loads them one by one. */
  chunksOf(kind: number): { readonly number: number; readonly line: ChunkLine }[] {
    return this.#index.lines.flatMap((line, number) => (line.kind === kind ? [{ number, line }] : []));
  }

  /** The plain bytes of a chunk. @throws {KeyframeError} CORRUPT */
  chunk(number: number, signal: AbortSignal | undefined): Promise<Buffer> {
    const entry = this.#index.table[number];
    if (entry === undefined) throw damaged(this.#source.key, `it has no chunk ${number}`);
    return this.#source.chunk(number, entry, signal);
  }

  /** Reads a chunk of entries. @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
  entriesOf(line: ChunkLine, plain: Buffer): ManifestEntry[] {
    const entries = decodeEntries(plain, line.first, this.#source.key);
    if (entries.length !== line.last - line.first + 1)
      throw damaged(this.#source.key, 'a chunk of entries has another length than its index says');
    return entries;
  }

  /** Key of the pack that a frame names. @throws {KeyframeError} CORRUPT */
  packKey(index: FrameRecord['pack']): string {
    const key = this.#packs[index]?.key;
    if (key === undefined) throw damaged(this.#source.key, `it has no pack ${index}`);
    return key;
  }

  async *#chunks(
    kind: number,
    holds: (line: ChunkLine) => boolean,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<{ readonly line: ChunkLine; readonly plain: Buffer }> {
    for (const [number, line] of this.#index.lines.entries()) {
      const entry = this.#index.table[number];
      if (line.kind !== kind || entry === undefined || !holds(line)) continue;
      yield { line, plain: await this.#source.chunk(number, entry, signal) };
    }
  }

  async #entryAt(ordinal: number, signal: AbortSignal | undefined): Promise<ManifestEntry | undefined> {
    const holds = (line: ChunkLine): boolean => line.first <= ordinal && ordinal <= line.last;
    for await (const { line, plain } of this.#chunks(CHUNK.entries, holds, signal))
      return this.entriesOf(line, plain)[ordinal - line.first];
    return undefined;
  }

  async #required(name: keyof typeof VERBATIM, options: Abortable): Promise<Buffer> {
    const text = await this.#verbatim(name, options);
    if (text === undefined) throw damaged(this.#source.key, `it has no ${name}`);
    return text;
  }

  async #verbatim(name: keyof typeof VERBATIM, { signal }: Abortable): Promise<Buffer | undefined> {
    const pieces: Buffer[] = [];
    for await (const { plain } of this.#pieces(name, signal)) pieces.push(plain);
    return pieces.length === 0 ? undefined : Buffer.concat(pieces);
  }

  #pieces(name: keyof typeof VERBATIM, signal: AbortSignal | undefined): AsyncGenerator<{ readonly plain: Buffer }> {
    return this.#chunks(CHUNK.verbatim, (line) => line.first === VERBATIM[name], signal);
  }
}
