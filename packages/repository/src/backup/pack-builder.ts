import { hash } from 'node:crypto';
import type { ByteSource } from '@keyframe/contracts';
import { SECTION } from '../format/chunk-index.ts';
import { encodeDirectory, FOOTER_BYTES, type TableEntry } from '../format/container-tail.ts';
import { ContainerLayout, type Payload } from '../format/container-layout.ts';
import { FRAME_HEADER_BYTES, writeFrameHeader } from '../format/frame.ts';
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

  constructor(
    { index, number }: { readonly index: number; readonly number: number },
    key: string,
    header: Readonly<Record<string, Json>>,
    arena: Buffer,
  ) {
    this.index = index;
    this.number = number;
    this.key = key;
    this.layout = new ContainerLayout('pack', header);
    this.arena = arena;
    arena.set(this.layout.head, 0);
  }

  /** Appends a frame; the arena must have room. */
  append(payload: Payload, plainBytes: number, content: PackedFrame = NO_CONTENT): TableEntry {
    const { arena, layout } = this;
    const start = layout.offset;
    const number = layout.entries.length;
    writeFrameHeader(arena, start, { codec: payload.codec, plainBytes, payloadBytes: payload.bytes.length, number });
    arena.set(payload.bytes, start + FRAME_HEADER_BYTES);
    this.#content.add(content);
    return layout.add(arena.subarray(start, start + FRAME_HEADER_BYTES + payload.bytes.length), plainBytes);
  }

  /** How a manifest names this pack. Final once no frame is added any more. */
  line(): PackLine {
    const { layout, number } = this;
    const tableSha256 = hash('sha256', layout.end().table, 'buffer');
    return { epoch: 0, label: '', number, tableOffset: layout.offset, frames: layout.entries.length, tableSha256 };
  }

  /** The whole object, re-openable as long as the arena is not reused. */
  source(): ByteSource {
    const content = this.#content.bytes();
    const directory = encodeDirectory([{ id: SECTION.packContent, offset: 0, sizeBytes: content.length }]);
    const tail = Buffer.concat([content, directory]);
    const { table, footer } = this.layout.end(tail.length, hash('sha256', tail, 'buffer'));
    return sourceOf(this.layout.sizeWith(tail.length), () => this.#bytes(table, tail, footer));
  }

  /** The whole object with a copy of the manifest in its tail. */
  sourceWithManifest(manifest: ManifestBytes): ByteSource {
    const content = this.#content.bytes();
    const directory = encodeDirectory([
      { id: SECTION.manifestCopy, offset: 0, sizeBytes: manifest.sizeBytes },
      { id: SECTION.packContent, offset: manifest.sizeBytes, sizeBytes: content.length },
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

  async *#bytes(...rest: readonly Buffer[]): AsyncGenerator<Uint8Array> {
    for (let at = 0; at < this.layout.offset; at += PIECE_BYTES)
      yield this.arena.subarray(at, Math.min(at + PIECE_BYTES, this.layout.offset));
    yield* rest;
  }
}

function sourceOf(sizeBytes: number, open: () => AsyncIterable<Uint8Array>): ByteSource {
  return { sizeBytes, open };
}
