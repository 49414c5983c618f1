import type { Abortable } from '@keyframe/contracts';
import { CHUNK, type ChunkLine } from '../format/chunk-index.ts';
import { decodeExtents } from '../format/extents.ts';
import { ordinalsOf, pathHash } from '../format/manifest-tables.ts';
import { damaged } from '../objects/damage.ts';
import { Recent } from '../objects/recent.ts';
import type { BaseFile, BaseFiles } from './base-files.ts';
import { type BaseMap, BaseMapBuilder } from './base-map.ts';
import { ChunkView } from './chunk-view.ts';
import type { ManifestEntry } from './manifest.ts';
import type { OtherPack } from './pack-table.ts';
import type { BackupRecord } from './record.ts';
import type { StoredManifest } from './stored-manifest.ts';

/** Chunks of each kind that stay in memory: 1 to 2 MB each. Files written side by side need a few at once. */
const KEPT = { entries: 6, paths: 16, extents: 5 } as const;

/** A file of a base, with the places of its bytes. */
export class StoredBaseFile implements BaseFile {
  readonly path: string;
  readonly sizeBytes: number;
  readonly modifiedAtSeconds: number;
  readonly map: BaseMap;

  constructor({ path, sizeBytes, modifiedAtSeconds }: ManifestEntry, map: BaseMap) {
    this.path = path;
    this.sizeBytes = sizeBytes;
    this.modifiedAtSeconds = modifiedAtSeconds;
    this.map = map;
  }
}

interface Chunk {
  readonly number: number;
  readonly line: ChunkLine;
}

/** A published backup to build on. Keeps the chunks of its manifest that were needed last. */
export class StoredBase implements BaseFiles {
  readonly suspects: ReadonlyMap<string, string>;
  readonly #manifest: StoredManifest;
  /** False after a rotation of keys: hashes under another key say nothing, and must not be handed on. */
  readonly #tellsContent: boolean;
  readonly #chunks: Readonly<Record<'entries' | 'paths' | 'extents', readonly Chunk[]>>;
  #packs: ReadonlySet<string> | undefined;
  readonly #entries = new Recent<number, ReadonlyMap<string, ManifestEntry>>(KEPT.entries);
  readonly #paths = new Recent<number, Buffer>(KEPT.paths);
  readonly #extents = new Recent<number, ChunkView>(KEPT.extents);

  /** `contentKey`: of the backup that builds on it. `suspects`: keys of packs that are not built on. */
  constructor(manifest: StoredManifest, contentKey: Uint8Array, suspects: ReadonlyMap<string, string> = new Map()) {
    this.#manifest = manifest;
    this.suspects = suspects;
    this.#tellsContent = Buffer.compare(manifest.contentKey, contentKey) === 0;
    this.#chunks = {
      entries: manifest.chunksOf(CHUNK.entries),
      paths: manifest.chunksOf(CHUNK.paths),
      extents: manifest.chunksOf(CHUNK.extents),
    };
  }

  get record(): BackupRecord {
    return this.#manifest.record;
  }

  /** Whether the base itself names that pack of its own epoch. */
  namesPack(label: string, number: number): boolean {
    const { epoch } = this.record;
    this.#packs ??= new Set(
      this.#manifest.packs().flatMap((each) => (each.epoch === epoch ? [`${each.label} ${each.number}`] : [])),
    );
    return this.#packs.has(`${label} ${number}`);
  }

  serverManifest(options: Abortable = {}): AsyncIterable<Buffer> {
    return this.#manifest.serverManifestPieces(options);
  }

  async find(path: string, { signal }: Abortable = {}): Promise<StoredBaseFile | undefined> {
    const entry = (await this.#near(path)) ?? (await this.#anywhere(path, signal));
    if (entry?.type !== 'file' || entry.rawPath !== undefined) return undefined;
    return new StoredBaseFile(entry, await this.#map(entry, signal));
  }

  /** Mostly the next file stands beside the one before. */
  async #near(path: string): Promise<ManifestEntry | undefined> {
    for (const entries of this.#entries.values().toReversed()) {
      const entry = (await entries).get(path);
      if (entry !== undefined) return entry;
    }
    return undefined;
  }

  async #anywhere(path: string, signal: AbortSignal | undefined): Promise<ManifestEntry | undefined> {
    const hash = pathHash(Buffer.from(path));
    for (const { number } of holding(this.#chunks.paths, hash)) {
      const paths = await this.#paths.get(number, () => this.#manifest.chunk(number, signal));
      for (const ordinal of ordinalsOf(paths, hash)) {
        const entry = await this.#entryOf(path, ordinal, signal);
        if (entry !== undefined) return entry;
      }
    }
    return undefined;
  }

  async #entryOf(path: string, ordinal: number, signal: AbortSignal | undefined): Promise<ManifestEntry | undefined> {
    for (const { number, line } of holding(this.#chunks.entries, ordinal)) {
      const load = async (): Promise<ReadonlyMap<string, ManifestEntry>> => {
        const entries = this.#manifest.entriesOf(line, await this.#manifest.chunk(number, signal));
        return new Map(entries.map((entry) => [entry.path, entry]));
      };
      const entry = (await this.#entries.get(number, load)).get(path);
      if (entry !== undefined) return entry;
    }
    return undefined;
  }

  #pack(index: number): OtherPack {
    const pack = this.#manifest.pack(index);
    return this.suspects.has(pack.key) ? { ...pack, isSuspect: true } : pack;
  }

  async #map({ ordinal, path, sizeBytes }: ManifestEntry, signal: AbortSignal | undefined): Promise<BaseMap> {
    const { key } = this.#manifest.record.manifest;
    const builder = new BaseMapBuilder();
    let bytes = 0;
    for (const { number } of sizeBytes === 0 ? [] : holding(this.#chunks.extents, ordinal)) {
      const load = async (): Promise<ChunkView> => {
        const chunk = decodeExtents(await this.#manifest.chunk(number, signal), key);
        const told = this.#tellsContent ? chunk : { ...chunk, contents: [] };
        return new ChunkView(told, (index) => this.#pack(index), key);
      };
      bytes += (await this.#extents.get(number, load)).collect(ordinal, builder);
    }
    if (bytes !== sizeBytes) throw damaged(key, `it does not say where all bytes of ${path} are`);
    return builder.build(sizeBytes);
  }
}

function holding(chunks: readonly Chunk[], value: number): Chunk[] {
  return chunks.filter(({ line }) => line.first <= value && value <= line.last);
}
