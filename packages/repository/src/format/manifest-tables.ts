/**
 * Two tables of a manifest: the packs that its extents name, and the ordinals of paths by hash.
 * @packageDocumentation
 */
import { crc32 } from 'node:zlib';
import { ByteReader, ByteWriter } from './bytes.ts';

/** A pack that extents name by its index. */
export interface PackLine {
  /** 0: the epoch of the manifest's own backup. */
  readonly epoch: number;
  /** Empty: the manifest's own backup. */
  readonly label: string;
  readonly number: number;
  readonly tableOffset: number;
  readonly frames: number;
  readonly tableSha256: Uint8Array;
  /** Plain bytes of files that lie in it; early releases did not say. */
  readonly liveBytes?: number | undefined;
  /** Generation and sealed data key of an encrypted pack, as its own header has them. */
  readonly sealedKey?: Uint8Array | undefined;
}

export function encodePacks(packs: readonly PackLine[]): Buffer {
  const writer = new ByteWriter(packs.length * 48 + 16);
  const record = new ByteWriter(128);
  for (const pack of packs) {
    record.varint(pack.epoch);
    record.counted(Buffer.from(pack.label));
    record.varint(pack.number);
    record.varint(pack.tableOffset);
    record.varint(pack.frames);
    record.bytes(pack.tableSha256);
    if (pack.liveBytes !== undefined || pack.sealedKey !== undefined) record.varint(pack.liveBytes ?? 0);
    if (pack.sealedKey !== undefined) record.counted(pack.sealedKey);
    writer.counted(record.take());
  }
  return writer.take();
}

/** @throws {KeyframeError} CORRUPT */
export function decodePacks(bytes: Buffer, key: string): PackLine[] {
  const reader = new ByteReader(bytes, key);
  const packs: PackLine[] = [];
  while (reader.left > 0) {
    const record = new ByteReader(reader.counted(), key);
    packs.push({
      epoch: record.varint(),
      label: record.counted().toString(),
      number: record.varint(),
      tableOffset: record.varint(),
      frames: record.varint(),
      tableSha256: record.bytes(32),
      liveBytes: record.left > 0 ? record.varint() : undefined,
      sealedKey: record.left > 0 ? record.counted() : undefined,
    });
  }
  return packs;
}

/** Hash by which a path is found: CRC-32 of its bytes. Two paths may share one; the entry itself decides. */
export function pathHash(path: Uint8Array): number {
  return crc32(path);
}

/** Collects (hash, ordinal) pairs and gives them out sorted, as the plain bytes of one chunk after another. */
export class PathIndexEncoder {
  readonly #hashes: number[] = [];

  /** Call once per entry, in the order of ordinals. */
  add(path: Uint8Array): void {
    this.#hashes.push(pathHash(path));
  }

  *chunks(pathsPerChunk: number): Generator<{ readonly first: number; readonly last: number; readonly plain: Buffer }> {
    const sorted = BigUint64Array.from(this.#hashes, (value, ordinal) => (BigInt(value) << 32n) | BigInt(ordinal));
    sorted.sort();
    for (let start = 0; start < sorted.length; start += pathsPerChunk) {
      const part = sorted.subarray(start, start + pathsPerChunk);
      const plain = Buffer.allocUnsafe(part.length * 8);
      part.forEach((pair, index) => {
        plain.writeUInt32LE(Number(pair >> 32n), index * 8);
        plain.writeUInt32LE(Number(pair & 0xff_ff_ff_ffn), index * 8 + 4);
      });
      yield { first: plain.readUInt32LE(0), last: plain.readUInt32LE(plain.length - 8), plain };
    }
  }
}

/** Ordinals in a chunk of the path index that have that hash. */
export function ordinalsOf(chunk: Buffer, hash: number): number[] {
  const ordinals: number[] = [];
  for (let at = 0; at + 8 <= chunk.length; at += 8)
    if (chunk.readUInt32LE(at) === hash) ordinals.push(chunk.readUInt32LE(at + 4));
  return ordinals;
}
