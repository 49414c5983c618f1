import { type Compressor, hasCode, KeyframeError } from '@keyframe/contracts';
import type { ObjectCipher } from '../encryption/object-cipher.ts';
import { CHECKED_BYTES, CODEC_NONE, FRAME_HEADER_BYTES, type FrameHeader, readFrameHeader } from '../format/frame.ts';
import { damaged } from './damage.ts';

/** What a frame must be, by whoever names it. */
export interface ExpectedFrame {
  readonly number: number;
  readonly plainBytes: number;
  /** Undefined: the object is not encrypted. */
  readonly cipher?: ObjectCipher | undefined;
}

/** A frame without its encryption, still compressed. */
export interface UnsealedFrame {
  readonly header: FrameHeader;
  readonly payload: Buffer;
}

/** Decrypts and decompresses frames by the codec that each one names. */
export class Codecs {
  readonly #byId: ReadonlyMap<string, Compressor>;

  constructor(compressors: readonly Compressor[]) {
    this.#byId = new Map(compressors.map((compressor) => [compressor.id, compressor]));
  }

  /**
   * Opens a frame whose stored bytes are already proven, or are proven later.
   * A frame of the codec `none` comes back as a view of `stored`.
   * @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT
   */
  async open(stored: Buffer, expected: ExpectedFrame, key: string): Promise<Uint8Array> {
    return this.expand(this.unseal(stored, expected, key), key);
  }

  /** A frame's payload as its codec left it, decrypted. @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
  unseal(stored: Buffer, expected: ExpectedFrame, key: string): UnsealedFrame {
    const header = readFrameHeader(stored, key);
    const sealed = stored.subarray(FRAME_HEADER_BYTES);
    const fits =
      header.number === expected.number &&
      header.plainBytes === expected.plainBytes &&
      header.payloadBytes === sealed.length &&
      header.generation === (expected.cipher?.generation ?? 0);
    if (!fits) throw damaged(key, `the frame ${expected.number} is not the one that belongs there`);
    const payload = expected.cipher?.open(header.number, stored.subarray(0, CHECKED_BYTES), sealed) ?? sealed;
    return { header, payload };
  }

  /** The plain content of a frame. @throws {KeyframeError} CORRUPT, REPOSITORY_FORMAT */
  async expand({ header, payload }: UnsealedFrame, key: string): Promise<Uint8Array> {
    const plain = header.codec === CODEC_NONE ? payload : await this.#decompress(payload, header, key);
    if (plain.length !== header.plainBytes) throw damaged(key, `the frame ${header.number} has another length`);
    return plain;
  }

  async #decompress(payload: Buffer, header: FrameHeader, key: string): Promise<Uint8Array> {
    const compressor = this.#byId.get(header.codec);
    if (compressor === undefined)
      throw new KeyframeError('REPOSITORY_FORMAT', `the object ${key} is compressed with ${header.codec}`, {
        hint: `Install the compressor plugin for ${header.codec} and name it under \`repositories.<name>.compress\`.`,
        details: { key, codec: header.codec },
      });
    try {
      return await compressor.decompress(payload, header.plainBytes);
    } catch (error) {
      if (hasCode(error, 'CORRUPT'))
        throw damaged(key, `the frame ${header.number} does not decompress`, { cause: error });
      throw error;
    }
  }
}
