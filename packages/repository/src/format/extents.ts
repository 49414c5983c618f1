/**
 * Extents: which range of which file lies in which frame. A chunk names every frame it needs, so it can be used alone.
 * @packageDocumentation
 */
import { damaged, tooNew } from '../objects/damage.ts';
import { ByteReader, ByteWriter } from './bytes.ts';
import type { TableEntry } from './container-tail.ts';
import { CONTENT_HASH_BYTES } from './content-hash.ts';

const SECTION_FRAMES = 1;
const SECTION_ZEROS = 2;
/** Readers skip sections from this id on when they do not know them. */
const SECTION_OPTIONAL = 64;
const SECTION_CONTENTS = 64;

/** A range of a file inside a frame, or, in a list of zeros, a range without stored bytes. */
export interface ExtentRecord {
  readonly ordinal: number;
  readonly fileOffset: number;
  readonly sizeBytes: number;
  readonly frameOffset: number;
}

/** A frame of a pack, and what of it a backup uses. */
export interface FrameRecord extends TableEntry {
  /** Index in the manifest's pack table. */
  readonly pack: number;
  readonly number: number;
  readonly extents: readonly ExtentRecord[];
}

/** What a range of a file holds, wherever it lies. */
export interface ContentRecord {
  readonly ordinal: number;
  readonly fileOffset: number;
  readonly sizeBytes: number;
  /** Keyed, see `content-hash.ts`. */
  readonly hash: Uint8Array;
}

export interface ExtentsChunk {
  readonly frames: FrameRecord[];
  readonly zeros: ExtentRecord[];
  /** For {@link decodeContents}: a restore does not need it. */
  readonly contents: Buffer[];
}

/** Expected next position, against which extents are written as differences that are mostly 0. */
class Cursor {
  #ordinal: number;
  #fileOffset = 0;
  #frameOffset = 0;

  constructor(ordinal: number) {
    this.#ordinal = ordinal;
  }

  startFrame(): void {
    this.#frameOffset = 0;
  }

  write(writer: ByteWriter, extent: ExtentRecord, inFrame: boolean): void {
    writer.signed(extent.ordinal - this.#ordinal);
    writer.signed(extent.fileOffset - this.#expected(extent.ordinal));
    writer.varint(extent.sizeBytes);
    if (inFrame) writer.signed(extent.frameOffset - this.#frameOffset);
    this.#move(extent);
  }

  read(reader: ByteReader, inFrame: boolean): ExtentRecord {
    const ordinal = this.#ordinal + reader.signed();
    const fileOffset = this.#expected(ordinal) + reader.signed();
    const sizeBytes = reader.varint();
    const frameOffset = inFrame ? this.#frameOffset + reader.signed() : 0;
    const extent = { ordinal, fileOffset, sizeBytes, frameOffset };
    this.#move(extent);
    return extent;
  }

  #expected(ordinal: number): number {
    return ordinal === this.#ordinal ? this.#fileOffset : 0;
  }

  #move(extent: ExtentRecord): void {
    this.#ordinal = extent.ordinal;
    this.#fileOffset = extent.fileOffset + extent.sizeBytes;
    this.#frameOffset = extent.frameOffset + extent.sizeBytes;
  }
}

/** Builds one extents chunk. Frames of a pack that follow each other share one line for pack, number and offset. */
export class ExtentsEncoder {
  /** Lowest and highest ordinal so far. */
  first: number = Infinity;
  last = -1;
  readonly #runs = new ByteWriter(1 << 16);
  readonly #run = new ByteWriter(1 << 16);
  readonly #zeros = new ByteWriter(256);
  readonly #contents = new ByteWriter(1 << 14);
  #cursor = new Cursor(0);
  #zeroCursor = new Cursor(0);
  #contentCursor = new Cursor(0);
  #zeroRun: ExtentRecord | undefined;
  #start: FrameRecord | undefined;
  #previous: FrameRecord | undefined;

  get sizeBytes(): number {
    return this.#runs.length + this.#run.length + this.#zeros.length + this.#contents.length;
  }

  add(frame: FrameRecord): void {
    if (!this.#continues(frame)) {
      this.#closeRun();
      this.#start = frame;
    }
    this.#previous = frame;
    this.#run.varint(frame.storedBytes);
    this.#run.varint(frame.plainBytes);
    this.#run.bytes(frame.sha256);
    this.#run.varint(frame.extents.length);
    this.#cursor.startFrame();
    for (const extent of frame.extents) {
      this.#cursor.write(this.#run, extent, true);
      this.#cover(extent.ordinal);
    }
  }

  /** Adds a range that is all zero and lies in no frame. Ranges that follow each other become one. */
  addZeros(range: ExtentRecord): void {
    const run = this.#zeroRun;
    if (run?.ordinal === range.ordinal && run.fileOffset + run.sizeBytes === range.fileOffset) {
      this.#zeroRun = { ...run, sizeBytes: run.sizeBytes + range.sizeBytes };
      return;
    }
    this.#closeZeros();
    this.#zeroRun = range;
    this.#cover(range.ordinal);
  }

  /** Says what a range holds, so that a later backup can tell whether it still does. */
  addContent({ hash, ...range }: ContentRecord): void {
    this.#contentCursor.write(this.#contents, { ...range, frameOffset: 0 }, false);
    this.#contents.bytes(hash);
    this.#cover(range.ordinal);
  }

  /** The chunk's plain bytes; the encoder is empty afterwards. */
  take(): Buffer {
    this.#closeRun();
    this.#closeZeros();
    const chunk = new ByteWriter(this.sizeBytes + 16);
    chunk.varint(SECTION_FRAMES);
    chunk.counted(this.#runs.take());
    chunk.varint(SECTION_ZEROS);
    chunk.counted(this.#zeros.take());
    if (this.#contents.length > 0) {
      chunk.varint(SECTION_CONTENTS);
      chunk.counted(this.#contents.take());
    }
    this.#cursor = new Cursor(0);
    this.#zeroCursor = new Cursor(0);
    this.#contentCursor = new Cursor(0);
    this.first = Infinity;
    this.last = -1;
    return chunk.take();
  }

  #cover(ordinal: number): void {
    this.first = Math.min(this.first, ordinal);
    this.last = Math.max(this.last, ordinal);
  }

  #closeZeros(): void {
    if (this.#zeroRun !== undefined) this.#zeroCursor.write(this.#zeros, this.#zeroRun, false);
    this.#zeroRun = undefined;
  }

  #continues(frame: FrameRecord): boolean {
    const previous = this.#previous;
    return (
      previous !== undefined &&
      previous.pack === frame.pack &&
      previous.number + 1 === frame.number &&
      previous.offset + previous.storedBytes === frame.offset
    );
  }

  #closeRun(): void {
    const start = this.#start;
    if (start === undefined || this.#previous === undefined) return;
    this.#runs.varint(start.pack);
    this.#runs.varint(start.number);
    this.#runs.varint(start.offset);
    this.#runs.varint(this.#previous.number - start.number + 1);
    this.#runs.bytes(this.#run.take());
    this.#start = undefined;
    this.#previous = undefined;
  }
}

/** Reads a chunk. @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
export function decodeExtents(chunk: Buffer, key: string): ExtentsChunk {
  const result: ExtentsChunk = { frames: [], zeros: [], contents: [] };
  const reader = new ByteReader(chunk, key);
  while (reader.left > 0) {
    const id = reader.varint();
    const bytes = reader.counted();
    const body = new ByteReader(bytes, key);
    if (id === SECTION_FRAMES) readFrames(body, key, result.frames);
    else if (id === SECTION_ZEROS) readZeros(body, result.zeros);
    else if (id === SECTION_CONTENTS) result.contents.push(bytes);
    else if (id < SECTION_OPTIONAL) throw tooNew(key, `an extents chunk has the section ${id}`);
  }
  return result;
}

function readFrames(body: ByteReader, key: string, frames: FrameRecord[]): void {
  const cursor = new Cursor(0);
  while (body.left > 0) {
    const [pack, first] = [body.varint(), body.varint()];
    let offset = body.varint();
    const count = body.varint();
    for (let number = first; number < first + count; number += 1) {
      const [storedBytes, plainBytes, sha256] = [body.varint(), body.varint(), body.bytes(32)];
      const extents: ExtentRecord[] = [];
      cursor.startFrame();
      for (let left = body.varint(); left > 0; left -= 1) {
        const extent = cursor.read(body, true);
        if (extent.frameOffset < 0 || extent.frameOffset + extent.sizeBytes > plainBytes)
          throw damaged(key, 'an extent reaches beyond its frame');
        extents.push(extent);
      }
      frames.push({ pack, number, offset, storedBytes, plainBytes, sha256, extents });
      offset += storedBytes;
    }
  }
}

function readZeros(body: ByteReader, zeros: ExtentRecord[]): void {
  const cursor = new Cursor(0);
  while (body.left > 0) zeros.push(cursor.read(body, false));
}

/** Reads what {@link ExtentsEncoder.addContent} wrote. @throws {KeyframeError} CORRUPT */
export function decodeContents(section: Buffer, key: string): ContentRecord[] {
  const body = new ByteReader(section, key);
  const cursor = new Cursor(0);
  const contents: ContentRecord[] = [];
  while (body.left > 0) {
    const { ordinal, fileOffset, sizeBytes } = cursor.read(body, false);
    contents.push({ ordinal, fileOffset, sizeBytes, hash: body.bytes(CONTENT_HASH_BYTES) });
  }
  return contents;
}
