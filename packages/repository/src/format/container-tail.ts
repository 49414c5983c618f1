/**
 * What follows the frames of a container: frame table, tail (sections and their directory), footer.
 * @packageDocumentation
 */
import { crc32 } from 'node:zlib';
import { damaged, tooNew } from '../objects/damage.ts';
import { ByteReader, ByteWriter } from './bytes.ts';

export const TABLE_ENTRY_BYTES = 48;
export const FOOTER_BYTES = 160;

const FOOTER_MAGIC = 'KFFOOT1\n';
const FOOTER_CHECKED = FOOTER_BYTES - 4;

/** One line of a frame table. */
export interface TableEntry {
  readonly offset: number;
  /** Header and payload. */
  readonly storedBytes: number;
  readonly plainBytes: number;
  /** Of header and payload. */
  readonly sha256: Uint8Array;
}

/** The frame table's bytes. */
export function encodeTable(entries: readonly TableEntry[]): Buffer {
  const table = Buffer.allocUnsafe(entries.length * TABLE_ENTRY_BYTES);
  let at = 0;
  for (const entry of entries) {
    table.writeBigUInt64LE(BigInt(entry.offset), at);
    table.writeUInt32LE(entry.storedBytes, at + 8);
    table.writeUInt32LE(entry.plainBytes, at + 12);
    table.set(entry.sha256, at + 16);
    at += TABLE_ENTRY_BYTES;
  }
  return table;
}

/** Reads a frame table; the frames must lie one behind the other from `first` on and end where the table begins. */
export function decodeTable(table: Buffer, first: number, end: number, key: string): TableEntry[] {
  const reader = new ByteReader(table, key);
  const entries: TableEntry[] = [];
  let expected = first;
  while (reader.left > 0) {
    const entry = {
      offset: reader.u64(),
      storedBytes: reader.u32(),
      plainBytes: reader.u32(),
      sha256: reader.bytes(32),
    };
    if (entry.offset !== expected) throw damaged(key, 'its frame table has a gap');
    expected += entry.storedBytes;
    entries.push(entry);
  }
  if (expected !== end) throw damaged(key, 'its frame table does not end where its frames end');
  return entries;
}

/** A part of the tail. Unknown ids are skipped by readers. */
export interface TailSection {
  readonly id: number;
  readonly offset: number;
  readonly sizeBytes: number;
  /** Its bytes are ciphertext and tag. */
  readonly sealed?: boolean | undefined;
}

/** Flag of a section. */
const SEALED = 1;

/** The directory that ends a tail with sections; offsets count from the tail's first byte. */
export function encodeDirectory(sections: readonly TailSection[]): Buffer {
  const writer = new ByteWriter(32);
  for (const section of sections) {
    writer.u32(section.id);
    writer.u32(section.sealed === true ? SEALED : 0);
    writer.u64(section.offset);
    writer.u64(section.sizeBytes);
  }
  writer.u32(sections.length);
  return writer.take();
}

/** Reads the directory at the end of a tail. `tail` may begin later than the tail as long as it holds the directory. */
export function decodeDirectory(tail: Buffer, key: string): TailSection[] {
  if (tail.length === 0) return [];
  if (tail.length < 4) throw damaged(key, 'its tail is too short');
  const count = tail.readUInt32LE(tail.length - 4);
  const start = tail.length - 4 - count * 24;
  if (start < 0) throw damaged(key, 'the directory of its tail is too long');
  const reader = new ByteReader(tail.subarray(start), key);
  return Array.from({ length: count }, () => {
    const id = reader.u32();
    const sealed = (reader.u32() & SEALED) !== 0;
    return { id, offset: reader.u64(), sizeBytes: reader.u64(), sealed };
  });
}

/** What a footer tells: the extent and the hash of each region before it. */
export interface Footer {
  readonly objectBytes: number;
  readonly tableOffset: number;
  readonly frames: number;
  readonly tailOffset: number;
  readonly tailBytes: number;
  readonly headSha256: Uint8Array;
  readonly tableSha256: Uint8Array;
  readonly tailSha256: Uint8Array;
}

export function encodeFooter(footer: Footer): Buffer {
  const bytes = Buffer.alloc(FOOTER_BYTES);
  bytes.write(FOOTER_MAGIC, 0, 'latin1');
  bytes.writeBigUInt64LE(BigInt(footer.objectBytes), 8);
  bytes.writeBigUInt64LE(BigInt(footer.tableOffset), 16);
  bytes.writeUInt32LE(footer.frames, 24);
  bytes.writeBigUInt64LE(BigInt(footer.tailOffset), 32);
  bytes.writeBigUInt64LE(BigInt(footer.tailBytes), 40);
  bytes.set(footer.headSha256, 48);
  bytes.set(footer.tableSha256, 80);
  bytes.set(footer.tailSha256, 112);
  bytes.writeUInt32LE(crc32(bytes.subarray(0, FOOTER_CHECKED)), FOOTER_CHECKED);
  return bytes;
}

/**
 * Reads a footer and checks that its figures agree with each other and with the object's size.
 * @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT
 */
export function decodeFooter(bytes: Buffer, objectBytes: number, key: string): Footer {
  if (bytes.length < FOOTER_BYTES) throw damaged(key, 'it is too short');
  if (bytes.toString('latin1', 0, 8) !== FOOTER_MAGIC)
    throw damaged(key, 'it has no footer: it was cut or is not whole');
  if (bytes.readUInt32LE(FOOTER_CHECKED) !== crc32(bytes.subarray(0, FOOTER_CHECKED)))
    throw damaged(key, 'its footer fails its checksum');
  const flags = bytes.readUInt32LE(28);
  if (flags !== 0) throw tooNew(key, `its footer has the flags ${flags}`);
  const reader = new ByteReader(bytes.subarray(8), key);
  const [objectSize, tableOffset, frames] = [reader.u64(), reader.u64(), reader.u32()];
  reader.u32();
  const [tailOffset, tailBytes] = [reader.u64(), reader.u64()];
  const whole =
    objectSize === objectBytes &&
    tailOffset === tableOffset + frames * TABLE_ENTRY_BYTES &&
    objectBytes === tailOffset + tailBytes + FOOTER_BYTES;
  if (!whole) throw damaged(key, 'its footer does not describe an object of this size');
  const [headSha256, tableSha256, tailSha256] = [reader.bytes(32), reader.bytes(32), reader.bytes(32)];
  return { objectBytes, tableOffset, frames, tailOffset, tailBytes, headSha256, tableSha256, tailSha256 };
}
