import { hash } from 'node:crypto';
import type { ByteSource } from '@keyframe/contracts';
import type { ObjectCipher } from '../encryption/object-cipher.ts';
import { encodeSealedKey } from '../encryption/keyring.ts';
import type { WritingKeys } from '../encryption/writing-keys.ts';
import { SECTION } from '../format/chunk-index.ts';
import { encodeDirectory, FOOTER_BYTES, type TableEntry } from '../format/container-tail.ts';
import { ContainerLayout, type Payload, writeFrame } from '../format/container-layout.ts';
import type { PackLine } from '../format/manifest-tables.ts';
import { PackContentEncoder, type PackedFrame } from '../format/pack-content.ts';
import type { Json } from '../format/sealed-json.ts';
import type { ManifestBytes } from './manifest-spool.ts';

const PIECE_BYTES = 1 << 20;
/** Of a frame that holds no part of a file. */
const NO_CONTENT: PackedFrame = { extents: [], contents: [] };

/** A pack being filled in a buffer that is lent to it. */
export class PackBuilder {
  readonly number: number;
  readonly key: string;
  readonly layout: ContainerLayout;
  readonly arena: Buffer;
  /** Index in the list of packs of the manifest. */
  readonly index: number;
  readonly #content = new PackContentEncoder();
  readonly #frames: ObjectCipher | undefined;
  readonly #tail: ObjectCipher | undefined;
  readonly #sealedKey: Buffer | undefined;
  #sealedContent: Buffer | undefined;

  constructor(
    { index, number }: { readonly index: number; readonly number: number },
    key: string,
    header: Readonly<Record<string, Json>>,
    arena: Buffer,
    keys?: WritingKeys,
  ) {
    this.index = index;
    this.number = number;
    this.key = key;
    const own = keys?.pack(key);
    this.#frames = own?.frames;
    this.#tail = own?.tail;
    this.#sealedKey = own && encodeSealedKey({ generation: own.frames.generation, bytes: own.sealed });
    this.layout = new ContainerLayout('pack', { ...header, encryption: own?.header });
    this.arena = arena;
    arena.set(this.layout.head, 0);
  }

  /** Appends a frame; the arena must have room. */
  append(payload: Payload, plainBytes: number, content: PackedFrame = NO_CONTENT): TableEntry {
    const { arena, layout } = this;
    const start = layout.offset;
    const number = layout.entries.length;
    const length = writeFrame(arena, start, { number, plainBytes, payload, cipher: this.#frames });
    this.#content.add(content);
    return layout.add(arena.subarray(start, start + length), plainBytes);
  }

  /** How a manifest names this pack. Final once no frame is added any more. */
  line(): PackLine {
    const { layout, number } = this;
    const tableSha256 = hash('sha256', layout.end().table, 'buffer');
    const place = { epoch: 0, label: '', number, tableOffset: layout.offset };
    return { ...place, frames: layout.entries.length, tableSha256, sealedKey: this.#sealedKey };
  }

  /** The whole object, re-openable as long as the arena is not reused. */
  source(): ByteSource {
    const content = this.#tailContent();
    const directory = encodeDirectory([{ ...this.#section, offset: 0, sizeBytes: content.length }]);
    const tail = Buffer.concat([content, directory]);
    const { table, footer } = this.layout.end(tail.length, hash('sha256', tail, 'buffer'));
    return sourceOf(this.layout.sizeWith(tail.length), () => this.#bytes(table, tail, footer));
  }

  /** The whole object with a copy of the manifest in its tail. */
  sourceWithManifest(manifest: ManifestBytes): ByteSource {
    const content = this.#tailContent();
    const directory = encodeDirectory([
      { id: SECTION.manifestCopy, offset: 0, sizeBytes: manifest.sizeBytes },
      { ...this.#section, offset: manifest.sizeBytes, sizeBytes: content.length },
    ]);
    const rest = Buffer.concat([content, directory]);
    const tailBytes = manifest.sizeBytes + rest.length;
    const { table, footer } = this.layout.end(tailBytes, manifest.hashWith(rest));
    const head = (): AsyncIterable<Uint8Array> => this.#bytes(table);
    return sourceOf(this.layout.sizeWith(tailBytes), async function* () {
      yield* head();
      yield* manifest.open();
      yield rest;
      yield footer;
    });
  }

  /** Offset at which {@link sourceWithManifest} puts the manifest. */
  get manifestOffset(): number {
    return this.layout.sizeWith(0) - FOOTER_BYTES;
  }

  get #section(): { readonly id: number; readonly sealed: boolean } {
    return { id: SECTION.packContent, sealed: this.#tail !== undefined };
  }

  /** Made once: what is sealed twice under one nonce must be the same. */
  #tailContent(): Buffer {
    const content = this.#content.bytes();
    this.#sealedContent ??= this.#tail?.sealSection(SECTION.packContent, content) ?? content;
    return this.#sealedContent;
  }

  async *#bytes(...rest: readonly Buffer[]): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < this.layout.offset; at += PIECE_BYTES)
      yield this.arena.subarray(at, Math.min(at + PIECE_BYTES, this.layout.offset));
    yield* rest;
  }
}

function sourceOf(sizeBytes: number, open: () => AsyncIterable<Uint8Array>): ByteSource {
  return { sizeBytes, open };
}
