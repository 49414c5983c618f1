import type { EpochContext } from '../epoch-context.ts';
import { PackCiphers } from '../encryption/pack-ciphers.ts';
import { assertSha256 } from '../format/container.ts';
import { Recent } from '../objects/recent.ts';
import { readProven } from '../objects/with-copies.ts';
import type { BaseFrame } from './base-map.ts';

/** Pages that changed on different days lie in different frames, and a file is gone through in order: as many are open. */
const FRAMES_KEPT = 48;

/** Reads frames of other backups, verified; keeps the last few, since their ranges are asked for one by one. */
export class FrameReader {
  readonly #context: Pick<EpochContext, 'store' | 'codecs'>;
  readonly #ciphers: PackCiphers;
  readonly #recent = new Recent<string, Uint8Array>(FRAMES_KEPT);

  constructor(context: Pick<EpochContext, 'store' | 'codecs' | 'keyring'>) {
    this.#context = context;
    this.#ciphers = new PackCiphers(context.keyring);
  }

  /** The plain bytes of a frame. @throws {KeyframeError} CORRUPT */
  read(frame: BaseFrame, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const { store, codecs } = this.#context;
    const { offset, storedBytes, sha256, number } = frame;
    const { key } = frame.pack;
    return this.#recent.get(`${key}/${number}`, async () => {
      const verify = (bytes: Buffer): void => assertSha256(bytes, sha256, key, `frame ${number}`);
      const range = { start: offset, end: offset + storedBytes };
      const stored = await readProven(store, key, range, { verify, signal });
      const cipher = await this.#ciphers.of(frame.pack, signal);
      return codecs.open(stored, { number, plainBytes: frame.plainBytes, cipher }, key);
    });
  }
}
