import { createHash } from 'node:crypto';
import type { ByteSource, Store } from '@keyframe/contracts';
import { assertSha256 } from '../format/container.ts';
import type { TableEntry } from '../format/container-tail.ts';
import { CODEC_NONE, FRAME_HEADER_BYTES } from '../format/frame.ts';
import { readProven } from '../objects/with-copies.ts';
import type { PackStream } from './pack-stream.ts';

/** A finished manifest: read once into the last pack and once into its own object. */
export interface ManifestBytes extends ByteSource {
  readonly sizeBytes: number;
  /** Of all its bytes. */
  readonly sha256: Buffer;
  /** Of all its bytes and what follows them. */
  hashWith(more: Uint8Array): Buffer;
}

interface Spilled {
  readonly key: string;
  readonly entry: TableEntry;
}

/** What spilling needs. */
export interface SpillTarget {
  readonly store: Store;
  readonly packs: PackStream;
  readonly pieceBytes: number;
  readonly signal: AbortSignal;
}

/**
 * Collects the bytes of a manifest. What exceeds its memory goes into packs of this backup and is read back from there,
 * so that the manifest of any database fits: a terabyte has about 150 MB of it.
 */
export class ManifestSpool {
  readonly #target: SpillTarget;
  readonly #limitBytes: number;
  readonly #spilled: Spilled[] = [];
  readonly #hash = createHash('sha256');
  #kept: Uint8Array[] = [];
  #keptBytes = 0;
  #sizeBytes = 0;

  constructor(target: SpillTarget, limitBytes: number) {
    this.#target = target;
    this.#limitBytes = limitBytes;
  }

  /** Takes bytes, which must not change any more. */
  add(bytes: Uint8Array): void {
    this.#hash.update(bytes);
    this.#kept.push(bytes);
    this.#keptBytes += bytes.length;
    this.#sizeBytes += bytes.length;
  }

  /** Makes room when there is none. Begins packs, so it must not be called once the list of packs is final. */
  async relieve(): Promise<void> {
    if (this.#keptBytes <= this.#limitBytes) return;
    const kept = this.#kept;
    this.#kept = [];
    this.#keptBytes = 0;
    const { packs, pieceBytes } = this.#target;
    for (const bytes of kept)
      for (let at = 0; at < bytes.length; at += pieceBytes) {
        const piece = bytes.subarray(at, at + pieceBytes);
        const pack = packs.current ?? (await packs.begin());
        const { entry } = await packs.append({ codec: CODEC_NONE, bytes: piece }, piece.length);
        this.#spilled.push({ key: pack.key, entry });
      }
    await packs.close();
  }

  /** The manifest as it is now. Nothing may be added afterwards. */
  finish(): ManifestBytes {
    return {
      sizeBytes: this.#sizeBytes,
      sha256: this.#hash.copy().digest(),
      hashWith: (more) => this.#hash.copy().update(more).digest(),
      open: () => this.#read(),
    };
  }

  async *#read(): AsyncGenerator<Uint8Array> {
    const { store, signal } = this.#target;
    for (const { key, entry } of this.#spilled) {
      const range = { start: entry.offset, end: entry.offset + entry.storedBytes };
      const verify = (bytes: Buffer): void => assertSha256(bytes, entry.sha256, key, 'frame');
      const stored = await readProven(store, key, range, { verify, signal });
      yield stored.subarray(FRAME_HEADER_BYTES);
    }
    yield* this.#kept;
  }
}
