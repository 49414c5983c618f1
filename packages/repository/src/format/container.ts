/**
 * The one shape of packs, WAL objects and manifests:
 * start, JSON header, frames, frame table, tail (sections and their directory), footer. Here are the first two;
 * `container-tail.ts` has what follows the frames.
 * @packageDocumentation
 */
import { hash } from 'node:crypto';
import { crc32 } from 'node:zlib';
import { damaged } from '../objects/damage.ts';
import { type Fields, FORMAT, type Json, parseFields } from './sealed-json.ts';

export const START_BYTES = 16;

const MAGIC = { pack: 'KFPACK1\n', wal: 'KFWALS1\n', manifest: 'KFMANI1\n', index: 'KFINDX1\n' } as const;
const HEADER_LIMIT = 1 << 20;

export type ContainerKind = keyof typeof MAGIC;

/** The start and the JSON header: what an object is, and where it belongs. */
export function encodeHead(kind: ContainerKind, header: Readonly<Record<string, Json | undefined>>): Buffer {
  const json = Buffer.from(JSON.stringify({ format: FORMAT, ...header }));
  const head = Buffer.alloc(START_BYTES + json.length);
  head.write(MAGIC[kind], 0, 'latin1');
  head.writeUInt32LE(json.length, 8);
  head.set(json, START_BYTES);
  head.writeUInt32LE(crc32(json, crc32(head.subarray(0, 12))), 12);
  return head;
}

/** Length of the JSON header, from the start. @throws {KeyframeError} CORRUPT */
export function decodeStart(start: Buffer, kind: ContainerKind, key: string): number {
  if (start.length < START_BYTES) throw damaged(key, 'it is too short');
  if (start.toString('latin1', 0, 8) !== MAGIC[kind]) throw damaged(key, 'it does not start as it must');
  const length = start.readUInt32LE(8);
  if (length > HEADER_LIMIT) throw damaged(key, 'the length of its header is impossible');
  return length;
}

/** Checks start and header together. @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
export function decodeHead(head: Buffer, kind: ContainerKind, key: string): Fields {
  const end = START_BYTES + decodeStart(head, kind, key);
  if (head.length < end) throw damaged(key, 'it ends in its header');
  const json = head.subarray(START_BYTES, end);
  if (head.readUInt32LE(12) !== crc32(json, crc32(head.subarray(0, 12))))
    throw damaged(key, 'its header fails its checksum');
  return parseFields(json, key);
}

/** Compares bytes with a hash. @throws {KeyframeError} CORRUPT naming the object and the region */
export function assertSha256(bytes: Uint8Array, expected: Uint8Array, key: string, region: string): void {
  if (!hash('sha256', bytes, 'buffer').equals(expected)) throw damaged(key, `its ${region} fails its hash`);
}
