import type { Store } from '@keyframe/contracts';
import type { WritingKeys } from '../encryption/writing-keys.ts';
import type { TableEntry } from '../format/container-tail.ts';
import type { Payload } from '../format/container-layout.ts';
import { FRAME_HEADER_BYTES } from '../format/frame.ts';
import type { PackedFrame } from '../format/pack-content.ts';
import type { Json } from '../format/sealed-json.ts';
import { packName } from '../keys.ts';
import { putOnce } from '../objects/put-once.ts';
import type { Failure } from './failure.ts';
import { PackBuilder } from './pack-builder.ts';
import type { PackTable } from './pack-table.ts';

/** Header and frame table of the frames an arena can hold beside its target size. */
const HEAD_ROOM = 4096;

/** What all packs of one backup share. */
export interface PackSeries {
  readonly store: Store;
  /** `clusters/…/backups/<label>/` */
  readonly prefix: string;
  /** Of a pack that is begun now. */
  header(): Readonly<Record<string, Json>>;
  readonly frameBytes: number;
  readonly failure: Failure;
  readonly table: PackTable;
  /** Called when an object is durable. */
  stored(sizeBytes: number): void;
}

/** Where a frame came to lie. */
export interface PlacedFrame {
  /** Index in {@link PackSeries.table}. */
  readonly pack: number;
  readonly number: number;
  readonly entry: TableEntry;
}

/**
 * Fills one pack after the other and uploads each when it is full, while the next is filled: two arenas, never more.
 * Not re-entrant: one `append` at a time.
 */
export class PackStream {
  readonly #series: PackSeries;
  readonly #role: string;
  readonly #targetBytes: number;
  readonly #arenas: Buffer[] = [];
  readonly #keys: WritingKeys | undefined;
  #made = 0;
  #current: PackBuilder | undefined;
  /** Oldest first; each follows the one before it. */
  readonly #uploads: Promise<void>[] = [];

  constructor(series: PackSeries, role: string, targetBytes: number, keys?: WritingKeys) {
    this.#keys = keys;
    this.#series = series;
    this.#role = role;
    this.#targetBytes = targetBytes;
  }

  async append(payload: Payload, plainBytes: number, content?: PackedFrame): Promise<PlacedFrame> {
    const pack = this.#current ?? (await this.begin());
    const number = pack.layout.entries.length;
    const entry = pack.append(payload, plainBytes, content);
    if (pack.layout.offset >= this.#targetBytes) this.#upload(pack);
    return { pack: pack.index, number, entry };
  }

  /** Starts a pack, be there frames for it or not. */
  async begin(): Promise<PackBuilder> {
    const { table, prefix } = this.#series;
    const arena = await this.#arena();
    const place = table.begin();
    const all = { ...this.#series.header(), pack: place.number, role: this.#role };
    this.#current = new PackBuilder(place, prefix + packName(place.number), all, arena, this.#keys);
    return this.#current;
  }

  /** The pack that is being filled, if it has frames. */
  get current(): PackBuilder | undefined {
    return this.#current;
  }

  /** Uploads what there is and waits for every upload of this stream. */
  async close(): Promise<void> {
    if (this.#current !== undefined) this.#upload(this.#current);
    await this.settled();
    this.#series.failure.check();
  }

  /** Settles, whatever happened, when no upload runs any more. */
  async settled(): Promise<void> {
    await Promise.all(this.#uploads);
  }

  async #arena(): Promise<Buffer> {
    const free = this.#arenas.pop();
    if (free !== undefined) return free;
    if (this.#made < 2) {
      this.#made += 1;
      return Buffer.allocUnsafeSlow(this.#targetBytes + this.#series.frameBytes + FRAME_HEADER_BYTES + HEAD_ROOM);
    }
    await this.#uploads[0];
    this.#series.failure.check();
    return this.#arena();
  }

  #upload(pack: PackBuilder): void {
    const { store, failure, table } = this.#series;
    this.#current = undefined;
    table.close(pack.index, pack.line());
    const source = pack.source();
    const previous = this.#uploads.at(-1);
    const upload = failure.watch(
      (async () => {
        await previous;
        failure.check();
        await putOnce(store, pack.key, source, failure.signal);
        this.#series.stored(source.sizeBytes ?? 0);
        this.#arenas.push(pack.arena);
        void this.#uploads.shift(); // this very promise
      })(),
    );
    this.#uploads.push(upload);
  }
}
