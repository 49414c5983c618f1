import type { RecordPlace, RelationId } from '../facts.ts';
import { RECORD_HEADER_BYTES, type RecordBody } from '../record.ts';
import type { RecordWalker, WalkPlace } from '../record-walker.ts';
import { WALK_WASM } from './generated-walk-wasm.ts';

/** Where a record stands, in numbers: LSNs are exact below 2^53. */
export interface NumberPlace {
  readonly start: number;
  readonly end: number;
  readonly previousEnd: number;
}

/** What the walker tells while it walks. */
export interface WalkerEvents {
  /** A record that may tell something. False when it cannot be read. */
  readonly record: (record: RecordBody, place: NumberPlace) => boolean;
  /** Any record, where all are to be shown. False when it cannot be read. */
  readonly show: (record: RecordBody, place: NumberPlace) => boolean;
  /** A relation was met for the first time. */
  relation(relation: RelationId): RelationFlags;
  /** Whether something is known of a transaction beside the rows it wrote. */
  isWatched(xid: number): boolean;
  /** The set of changed blocks must be taken, since it is full. */
  blocks(): void;
}

/** How the walker treats a relation: 1, all records that name it are events; 2, it is no table that people made. */
export type RelationFlags = 0 | 1 | 2 | 3;

/** The exports of wasm/walk.ts. */
interface Walk {
  prepare(): void;
  crc(register: number, from: number, to: number): number;
  walk(from: number, end: number, low: number, high: number, beforeLow: number, beforeHigh: number): number;
  digest(record: number, total: number, low: number, high: number, length: number): number;
  findRelation(tablespace: number, database: number, node: number): number;
  findEffect(xid: number, relation: number, low: number, high: number): number;
  noteTop(xid: number, top: number, low: number, high: number): void;
  finish(xid: number): number;
  release(first: number): void;
  purge(oldest: number): void;
  clearBlocks(): void;
  clearSegment(): void;
  isPartial(xid: number): number;
  noteEnd(abort: number, xid: number, timeMicros: number): void;
}

interface Shared {
  readonly COUNTS: Global;
  readonly PIECE: Global;
  readonly SCRATCH: Global;
  readonly SCRATCH_BYTES: Global;
  readonly RELATIONS: Global;
  readonly RELATION_BYTES: Global;
  readonly RELATION_CAPACITY: Global;
  readonly XIDS: Global;
  readonly XID_BYTES: Global;
  readonly XID_CAPACITY: Global;
  readonly BLOCKS: Global;
  readonly BLOCK_CAPACITY: Global;
  readonly relations: Global;
  readonly transactions: Global;
  readonly records: Global;
  readonly lost: Global;
  readonly major: Global;
  readonly everything: Global;
  readonly previousLow: Global;
  readonly previousHigh: Global;
  readonly FOUND: Global;
  readonly ENDED: Global;
  readonly SHAPES: Global;
  readonly SHAPE_BYTES: Global;
  readonly shapes: Global;
  readonly watching: Global;
  readonly foldFrom: Global;
  readonly segmentStart: Global;
  readonly isKnown: Global;
  readonly knownFrom: Global;
  readonly MEMORY_BYTES: Global;
}

/** The part of the WebAssembly interface used here; it is in none of the type libraries of a program without a browser. */
interface WebAssemblyApi {
  readonly Memory: new (limits: { readonly initial: number; readonly maximum: number }) => {
    readonly buffer: ArrayBuffer;
  };
  readonly Module: new (bytes: Uint8Array) => object;
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown };
}

/** A variable or constant of the module. */
interface Global {
  value: number;
}

/** Pages are of at most 64 KiB. */
const LARGEST_PAGE = 1 << 16;
/** As MEMORY_BYTES of wasm/layout.ts, in pages of 64 KiB. */
const MEMORY_PAGES = 675;

let compiled: object | undefined;

/** The walk in WebAssembly, with its memory. */
export class WasmWalker implements RecordWalker {
  readonly walker: Walk;
  readonly shared: Shared;
  readonly bytes: Uint8Array;
  readonly view: DataView;
  /** All of the memory as u32. */
  readonly words: Uint32Array;
  readonly scratch: Uint8Array;
  readonly #events: WalkerEvents;
  readonly #piece: number;
  /** Set while the scanner hands a record over itself. */
  #place: NumberPlace | undefined;
  #walkStart = 0;
  #previousEnd = 0;
  /** LSN less address. */
  #shift = 0;

  constructor(events: WalkerEvents) {
    this.#events = events;
    const api: WebAssemblyApi = Reflect.get(globalThis, 'WebAssembly');
    compiled ??= new api.Module(Buffer.from(WALK_WASM, 'base64'));
    const memory = new api.Memory({ initial: MEMORY_PAGES, maximum: MEMORY_PAGES });
    this.bytes = new Uint8Array(memory.buffer);
    this.view = new DataView(memory.buffer);
    this.words = new Uint32Array(memory.buffer);
    const host = {
      event: (at: number, total: number): number => (this.#hand(at, total, events.record) ? 1 : 0),
      show: (at: number, total: number): number => (this.#hand(at, total, events.show) ? 1 : 0),
      newRelation: (index: number): number => events.relation(this.relation(index)),
      blocksAreFull: () => events.blocks(),
      isWatched: (xid: number): number => (events.isWatched(xid >>> 0) ? 1 : 0),
    };
    const { exports } = new api.Instance(compiled, { env: { memory }, host });
    this.walker = exports as Walk;
    this.shared = exports as Shared;
    this.walker.prepare();
    this.#piece = this.number('PIECE');
    const scratch = this.number('SCRATCH');
    this.scratch = this.bytes.subarray(scratch, scratch + this.number('SCRATCH_BYTES'));
  }

  /** A variable or constant of the module. */
  number(name: keyof Shared): number {
    return this.shared[name].value >>> 0;
  }

  /** Sets a variable of the module. */
  set(
    name: 'everything' | 'foldFrom' | 'isKnown' | 'knownFrom' | 'major' | 'segmentStart' | 'watching',
    to: number,
  ): void {
    this.shared[name].value = to;
  }

  get previousLow(): number {
    return this.number('previousLow');
  }

  get previousHigh(): number {
    return this.number('previousHigh');
  }

  relation(index: number): RelationId {
    const at = this.number('RELATIONS') + index * this.number('RELATION_BYTES');
    return {
      tablespace: this.view.getUint32(at, true),
      database: this.view.getUint32(at + 4, true),
      relfilenode: this.view.getUint32(at + 8, true),
    };
  }

  hold(piece: Uint8Array): Uint8Array {
    const from = this.#piece;
    this.bytes.set(piece, from);
    const padded = Math.ceil(piece.length / LARGEST_PAGE) * LARGEST_PAGE;
    if (padded > piece.length) this.bytes.fill(0, from + piece.length, from + padded);
    return this.bytes.subarray(from, from + piece.length);
  }

  walk(at: number, end: number, place: WalkPlace): number {
    const from = this.#piece;
    this.#walkStart = from + at;
    this.#previousEnd = place.previousEnd;
    this.#shift = place.start - from;
    const { low, high, previousLow, previousHigh } = place;
    return this.walker.walk(from + at, from + end, low, high, previousLow, previousHigh) - from;
  }

  take(record: RecordBody, place: RecordPlace): boolean {
    const start = Number(place.lsn);
    const numbers = { start, end: Number(place.endLsn), previousEnd: Number(place.previousEndLsn) };
    // Too large for the scratch memory: then it names no page.
    if (record.bytes.buffer !== this.bytes.buffer) {
      if (record.bytes.length === 0) return true;
      const { show, record: take } = this.#events;
      return (this.number('everything') === 0 || show(record, numbers)) && take(record, numbers);
    }
    const length = numbers.end - start;
    const address = record.bytes.byteOffset + record.start - RECORD_HEADER_BYTES;
    this.#place = numbers;
    try {
      const total = record.end - record.start + RECORD_HEADER_BYTES;
      return this.walker.digest(address, total, start % 2 ** 32, Math.floor(start / 2 ** 32), length) !== 0;
    } finally {
      this.#place = undefined;
    }
  }

  crc(register: number, at: number, end: number): number {
    return this.walker.crc(register, this.#piece + at, this.#piece + end);
  }

  scratchPayload(totalBytes: number): Uint8Array {
    return this.scratch.subarray(RECORD_HEADER_BYTES, totalBytes);
  }

  #hand(address: number, totalBytes: number, to: (record: RecordBody, place: NumberPlace) => boolean): boolean {
    const { bytes, view } = this;
    const record = {
      resourceManager: view.getUint8(address + 17),
      info: view.getUint8(address + 16),
      xid: view.getUint32(address + 4, true),
      bytes,
      view,
      start: address + RECORD_HEADER_BYTES,
      end: address + totalBytes,
    };
    if (this.#place !== undefined) return to(record, this.#place);
    const start = this.#shift + address;
    const previousEnd = address === this.#walkStart ? this.#previousEnd : start;
    return to(record, { start, end: start + ((totalBytes + 7) & ~7), previousEnd });
  }
}
