import { hash } from 'node:crypto';
import type { Compressor } from '@keyframe/contracts';
import { type ContainerKind, encodeHead } from './container.ts';
import { encodeFooter, encodeTable, FOOTER_BYTES, TABLE_ENTRY_BYTES, type TableEntry } from './container-tail.ts';
import { type ObjectCipher, TAG_BYTES } from '../encryption/object-cipher.ts';
import { CHECKED_BYTES, CODEC_NONE, FRAME_HEADER_BYTES, writeFrameHeader } from './frame.ts';
import type { Json } from './sealed-json.ts';

const NOTHING = hash('sha256', '', 'buffer');

/** Keeps book of an object while its frames are written: where each lies and what hash it has. */
export class ContainerLayout {
  readonly head: Buffer;
  readonly entries: TableEntry[] = [];
  /** Where the next frame begins, or the table when there is none. */
  offset: number;

  constructor(kind: ContainerKind, header: Readonly<Record<string, Json | undefined>>) {
    this.head = encodeHead(kind, header);
    this.offset = this.head.length;
  }

  /** Enters a finished frame, header and payload in one view. */
  add(stored: Uint8Array, plainBytes: number): TableEntry {
    // 0.6 ms a MB. In the thread pool (webcrypto) it was measured to cost twice the CPU, half of it on this thread.
    const sha256 = hash('sha256', stored, 'buffer');
    const entry = { offset: this.offset, storedBytes: stored.length, plainBytes, sha256 };
    this.entries.push(entry);
    this.offset += stored.length;
    return entry;
  }

  /** Size of the whole object, were it ended now with such a tail. */
  sizeWith(tailBytes: number): number {
    return this.offset + this.entries.length * TABLE_ENTRY_BYTES + tailBytes + FOOTER_BYTES;
  }

  /** What follows the frames: the table, then (the caller's) tail, then the footer. */
  end(tailBytes = 0, tailSha256: Uint8Array = NOTHING): { readonly table: Buffer; readonly footer: Buffer } {
    const table = encodeTable(this.entries);
    const footer = encodeFooter({
      objectBytes: this.sizeWith(tailBytes),
      tableOffset: this.offset,
      frames: this.entries.length,
      tailOffset: this.offset + table.length,
      tailBytes,
      headSha256: hash('sha256', this.head, 'buffer'),
      tableSha256: hash('sha256', table, 'buffer'),
      tailSha256,
    });
    return { table, footer };
  }
}

/** A payload, and the codec that made it. */
export interface Payload {
  readonly codec: string;
  readonly bytes: Uint8Array;
}

/** Compresses, or keeps the plain bytes (the same view) when that is not smaller. */
export async function compressPayload(compressor: Compressor, plain: Uint8Array): Promise<Payload> {
  if (plain.length === 0) return { codec: CODEC_NONE, bytes: plain };
  const bytes = await compressor.compress(plain);
  return bytes.length < plain.length ? { codec: compressor.id, bytes } : { codec: CODEC_NONE, bytes: plain };
}

/** What an object's frames are made with. */
export interface FrameParts {
  readonly number: number;
  readonly plainBytes: number;
  readonly payload: Payload;
  readonly cipher: ObjectCipher | undefined;
}

/** Writes a frame at `offset`, where there is room, and tells its length. A number is never written twice with a cipher. */
export function writeFrame(
  target: Buffer,
  offset: number,
  { number, plainBytes, payload, cipher }: FrameParts,
): number {
  const { codec, bytes } = payload;
  const payloadBytes = storedPayloadBytes(payload, cipher);
  writeFrameHeader(target, offset, { codec, plainBytes, payloadBytes, number, generation: cipher?.generation ?? 0 });
  const header = target.subarray(offset, offset + CHECKED_BYTES);
  target.set(cipher === undefined ? bytes : cipher.seal(number, header, bytes), offset + FRAME_HEADER_BYTES);
  return FRAME_HEADER_BYTES + payloadBytes;
}

/** A frame in a buffer of its own. */
export function encodeFrame(parts: FrameParts): Buffer {
  const frame = Buffer.allocUnsafe(FRAME_HEADER_BYTES + storedPayloadBytes(parts.payload, parts.cipher));
  writeFrame(frame, 0, parts);
  return frame;
}

function storedPayloadBytes({ bytes }: Payload, cipher: ObjectCipher | undefined): number {
  return bytes.length + (cipher === undefined ? 0 : TAG_BYTES);
}
