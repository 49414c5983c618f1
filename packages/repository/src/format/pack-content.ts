/**
 * What a pack holds of which files: a section of its tail. With it a pack is of use without a manifest.
 * @packageDocumentation
 */
import { damaged } from '../objects/damage.ts';
import { ByteReader, ByteWriter } from './bytes.ts';
import { CONTENT_HASH_BYTES } from './content-hash.ts';

/** A file whose bytes lie in packs. */
export interface PackedFile {
  readonly path: Uint8Array;
  readonly sizeBytes: number;
}

/** A range of a file in a frame of the pack. */
export interface PackedExtent<File extends PackedFile = PackedFile> {
  readonly file: File;
  readonly fileOffset: number;
  readonly sizeBytes: number;
  readonly frameOffset: number;
}

/** What a range of a file holds. */
export interface PackedContent<File extends PackedFile = PackedFile> {
  readonly file: File;
  readonly fileOffset: number;
  readonly sizeBytes: number;
  readonly hash: Uint8Array;
}

/** What one frame of a pack holds. */
export interface PackedFrame<File extends PackedFile = PackedFile> {
  readonly extents: readonly PackedExtent<File>[];
  readonly contents: readonly PackedContent<File>[];
}

/** Builds the section while a pack is filled, frame by frame. */
export class PackContentEncoder {
  readonly #writer = new ByteWriter(1 << 12);
  readonly #files = new Map<PackedFile, number>();

  add({ extents, contents }: PackedFrame): void {
    this.#writer.varint(extents.length);
    let frameEnd = 0;
    for (const { file, fileOffset, sizeBytes, frameOffset } of extents) {
      this.#range(file, fileOffset, sizeBytes);
      this.#writer.signed(frameOffset - frameEnd);
      frameEnd = frameOffset + sizeBytes;
    }
    this.#writer.varint(contents.length);
    for (const { file, fileOffset, sizeBytes, hash } of contents) {
      this.#range(file, fileOffset, sizeBytes);
      this.#writer.bytes(hash);
    }
  }

  /** The section's bytes so far. */
  bytes(): Buffer {
    return Buffer.from(this.#writer.view());
  }

  #range(file: PackedFile, fileOffset: number, sizeBytes: number): void {
    const known = this.#files.get(file);
    this.#writer.varint(known ?? this.#files.size);
    if (known === undefined) {
      this.#files.set(file, this.#files.size);
      this.#writer.counted(file.path);
      this.#writer.varint(file.sizeBytes);
    }
    this.#writer.varint(fileOffset);
    this.#writer.varint(sizeBytes);
  }
}

/** Reads the section: one item per frame of the pack. @throws {KeyframeError} CORRUPT */
export function decodePackContent(section: Buffer, frames: number, key: string): PackedFrame[] {
  const reader = new ByteReader(section, key);
  const files: PackedFile[] = [];
  const file = (): PackedFile => {
    const index = reader.varint();
    if (index === files.length) files.push({ path: reader.counted(), sizeBytes: reader.varint() });
    const known = files[index];
    if (known === undefined) throw damaged(key, 'its content names a file before it is introduced');
    return known;
  };
  const packed: PackedFrame[] = [];
  while (reader.left > 0) {
    const extents: PackedExtent[] = [];
    let frameEnd = 0;
    for (let left = reader.varint(); left > 0; left -= 1) {
      const range = { file: file(), fileOffset: reader.varint(), sizeBytes: reader.varint() };
      const frameOffset = frameEnd + reader.signed();
      frameEnd = frameOffset + range.sizeBytes;
      extents.push({ ...range, frameOffset });
    }
    const contents: PackedContent[] = [];
    for (let left = reader.varint(); left > 0; left -= 1) {
      const range = { file: file(), fileOffset: reader.varint(), sizeBytes: reader.varint() };
      contents.push({ ...range, hash: reader.bytes(CONTENT_HASH_BYTES) });
    }
    packed.push({ extents, contents });
  }
  if (packed.length !== frames) throw damaged(key, 'its content and its frame table differ in length');
  return packed;
}
