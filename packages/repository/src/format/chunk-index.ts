/**
 * The index of a manifest's chunks: a section of its tail, one line per frame.
 * @packageDocumentation
 */
import { damaged, tooNew } from '../objects/damage.ts';
import { ByteReader, ByteWriter } from './bytes.ts';

/** Ids of tail sections. */
export const SECTION = { chunkIndex: 1, manifestCopy: 2, packContent: 3 } as const;

/** What a chunk holds. */
export const CHUNK = { facts: 1, verbatim: 2, entries: 3, extents: 4, paths: 5, packs: 6 } as const;

/** `first` of the chunks that hold one of these texts; `last` counts the pieces of one text. */
export const VERBATIM = { serverManifest: 1, backupLabel: 2, tablespaceMap: 3 } as const;

/** Kinds from here on are skipped by readers that do not know them. */
const CHUNK_OPTIONAL = 64;
const KNOWN = new Set<number>(Object.values(CHUNK));

export interface ChunkLine {
  readonly kind: number;
  /** Lowest ordinal, path hash or pack index in the chunk. */
  readonly first: number;
  readonly last: number;
}

export function encodeChunkIndex(lines: readonly ChunkLine[]): Buffer {
  const writer = new ByteWriter(lines.length * 8 + 8);
  for (const line of lines) {
    writer.varint(line.kind);
    writer.varint(line.first);
    writer.varint(line.last);
  }
  return writer.take();
}

/** @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
export function decodeChunkIndex(bytes: Buffer, frames: number, key: string): ChunkLine[] {
  const reader = new ByteReader(bytes, key);
  const lines: ChunkLine[] = [];
  while (reader.left > 0) lines.push({ kind: reader.varint(), first: reader.varint(), last: reader.varint() });
  if (lines.length !== frames) throw damaged(key, 'its chunk index and its frame table differ in length');
  const unknown = lines.find((line) => line.kind < CHUNK_OPTIONAL && !KNOWN.has(line.kind));
  if (unknown !== undefined) throw tooNew(key, `it has a chunk of the kind ${unknown.kind}`);
  return lines;
}
