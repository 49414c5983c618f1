/**
 * Entries: files, directories and symbolic links, without where their bytes lie.
 * @packageDocumentation
 */
import { isUtf8 } from 'node:buffer';
import type { ManifestEntry } from '../backup/manifest.ts';
import { damaged, isPlainPath, tooNew } from '../objects/damage.ts';
import { ByteReader, ByteWriter } from './bytes.ts';

const TYPES = ['file', 'directory', 'symlink'] as const;

/** Builds one entries chunk. Each record has a length, so that later fields can follow the ones known now. */
export class EntriesEncoder {
  readonly #records = new ByteWriter(1 << 16);
  readonly #record = new ByteWriter(512);
  #previous: Uint8Array = new Uint8Array(0);

  get sizeBytes(): number {
    return this.#records.length;
  }

  add(entry: ManifestEntry): void {
    const path = entry.rawPath ?? Buffer.from(entry.path);
    const shared = sharedPrefix(this.#previous, path);
    this.#previous = path;
    this.#record.varint(TYPES.indexOf(entry.type));
    this.#record.varint(shared);
    this.#record.counted(path.subarray(shared));
    this.#record.varint(entry.mode);
    this.#record.signed(entry.modifiedAtSeconds);
    if (entry.type === 'file') this.#record.varint(entry.sizeBytes);
    if (entry.type === 'symlink') this.#record.counted(Buffer.from(entry.linkTarget ?? ''));
    this.#records.counted(this.#record.view());
    this.#record.take();
  }

  /** The chunk's plain bytes; the encoder is empty afterwards. */
  take(): Buffer {
    this.#previous = new Uint8Array(0);
    return this.#records.take();
  }
}

/** Reads a chunk whose first entry has the ordinal `first`. @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
export function decodeEntries(chunk: Buffer, first: number, key: string): ManifestEntry[] {
  const reader = new ByteReader(chunk, key);
  const entries: ManifestEntry[] = [];
  let previous = Buffer.alloc(0);
  while (reader.left > 0) {
    const record = new ByteReader(reader.counted(), key);
    const code = record.varint();
    const type = TYPES[code];
    if (type === undefined) throw tooNew(key, `an entry has the type ${code}`);
    const shared = record.varint();
    if (shared > previous.length) throw damaged(key, 'a path continues one that is shorter');
    const path = Buffer.concat([previous.subarray(0, shared), record.counted()]);
    previous = path;
    assertInside(path, key);
    const ordinal = first + entries.length;
    const common = { ordinal, type, ...pathOf(path), mode: record.varint(), modifiedAtSeconds: record.signed() };
    const sizeBytes = type === 'file' ? record.varint() : 0;
    if (type === 'symlink') entries.push({ ...common, sizeBytes, linkTarget: record.counted().toString() });
    else entries.push({ ...common, sizeBytes });
  }
  return entries;
}

/** Whatever a manifest says, nothing is restored outside the data directory. */
function assertInside(path: Buffer, key: string): void {
  const text = path.toString('latin1');
  if (!isPlainPath(text)) throw damaged(key, `the path ${JSON.stringify(text)} leads outside the data directory`);
}

function pathOf(bytes: Buffer): { path: string; rawPath?: Uint8Array } {
  const path = bytes.toString('utf8');
  return isUtf8(bytes) ? { path } : { path, rawPath: bytes };
}

function sharedPrefix(one: Uint8Array, other: Uint8Array): number {
  const limit = Math.min(one.length, other.length);
  let count = 0;
  while (count < limit && one[count] === other[count]) count += 1;
  return count;
}
