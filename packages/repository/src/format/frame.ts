/**
 * A frame: the unit that is compressed, encrypted and verified by itself. 32 bytes of header, then the payload.
 * @packageDocumentation
 */
import { crc32 } from 'node:zlib';
import { damaged, tooNew } from '../objects/damage.ts';
import { FORMAT } from './sealed-json.ts';

export const FRAME_HEADER_BYTES = 32;

/** Codec id of a payload that is the plain content itself. */
export const CODEC_NONE = 'none';

const MAGIC = 0x4d_52_46_4b; // "KFRM"
/** What the checksum covers, and the encryption too. */
export const CHECKED_BYTES = 28;
const FLAG_ENCRYPTED = 1;
const CODEC = /^[a-z0-9-]{1,8}$/;

export interface FrameHeader {
  readonly codec: string;
  readonly plainBytes: number;
  readonly payloadBytes: number;
  /** Running number in the object that holds the frame, from 0. */
  readonly number: number;
  /** Whose keys encrypt the payload; 0: none. */
  readonly generation: number;
}

/** Writes a header at `offset`, where 32 bytes must be free. */
export function writeFrameHeader(target: Buffer, offset: number, frame: FrameHeader): void {
  target.writeUInt32LE(MAGIC, offset);
  target.writeUInt32LE(FORMAT, offset + 4); // and flags 0, key id 0
  if (frame.generation > 0) {
    target[offset + 5] = FLAG_ENCRYPTED;
    target.writeUInt16LE(frame.generation, offset + 6);
  }
  target.fill(0, offset + 8, offset + 16);
  target.write(frame.codec, offset + 8, 8, 'latin1');
  target.writeUInt32LE(frame.plainBytes, offset + 16);
  target.writeUInt32LE(frame.payloadBytes, offset + 20);
  target.writeUInt32LE(frame.number, offset + 24);
  target.writeUInt32LE(crc32(target.subarray(offset, offset + CHECKED_BYTES)), offset + CHECKED_BYTES);
}

/**
 * Reads the header at the start of `bytes`; `key` names the object in errors.
 * @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT
 */
export function readFrameHeader(bytes: Buffer, key: string): FrameHeader {
  if (bytes.length < FRAME_HEADER_BYTES) throw damaged(key, 'it ends in the header of a frame');
  if (bytes.readUInt32LE(0) !== MAGIC || bytes.readUInt32LE(CHECKED_BYTES) !== crc32(bytes.subarray(0, CHECKED_BYTES)))
    throw damaged(key, 'the header of a frame fails its checksum');
  const [format = 0, flags = 0] = [bytes[4], bytes[5]];
  if (format > FORMAT) throw tooNew(key, `a frame has format ${format}`);
  if ((flags & ~FLAG_ENCRYPTED) !== 0) throw tooNew(key, `a frame has the flags ${flags}`);
  const generation = bytes.readUInt16LE(6);
  if ((flags === FLAG_ENCRYPTED) !== generation > 0) throw damaged(key, 'a frame is encrypted and names no key');
  const codec = bytes.toString('latin1', 8, 16).replace(/\0+$/u, '');
  if (!CODEC.test(codec)) throw damaged(key, 'a frame names no codec');
  return {
    codec,
    plainBytes: bytes.readUInt32LE(16),
    payloadBytes: bytes.readUInt32LE(20),
    number: bytes.readUInt32LE(24),
    generation,
  };
}
