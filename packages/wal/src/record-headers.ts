/**
 * The headers of a record: block references, and what else stands before its data.
 * @see DecodeXLogRecord() in src/backend/access/transam/xlogreader.c and src/include/access/xlogrecord.h in PostgreSQL
 * @packageDocumentation
 */
import type { BlockId } from './facts.ts';
import type { StoredImage } from './lens/page-image.ts';
import type { PostgresMajor } from './page-header.ts';
import type { RecordBody } from './record.ts';

const PAGE_BYTES = 8192;
const ID = { largestBlock: 32, topLevelXid: 252, origin: 253, dataLong: 254, dataShort: 255 } as const;
/** Flags of a block reference. */
export const FLAG = { forkMask: 0x0f, hasImage: 0x10, willInit: 0x40, sameRelation: 0x80 } as const;
const IMAGE_HAS_HOLE = 0x01;

/** PostgreSQL 15 gave each way of compression a bit, and moved the one that says that replay applies the image. */
const imageApplies = (info: number, major: PostgresMajor): boolean => (info & (major === 14 ? 0x04 : 0x02)) !== 0;

function compressionOf(info: number, major: PostgresMajor): StoredImage['compression'] {
  if (major === 14) return (info & 0x02) === 0 ? 'none' : 'pglz';
  if ((info & 0x04) !== 0) return 'pglz';
  if ((info & 0x08) !== 0) return 'lz4';
  return (info & 0x10) === 0 ? 'none' : 'zstd';
}

type Id = Pick<BlockId, 'tablespace' | 'database' | 'relfilenode'>;

/** What the headers of a block say, before it is known where its bytes lie. */
export interface BlockHeader extends Id {
  readonly flags: number;
  readonly block: number;
  readonly dataBytes: number;
  readonly image:
    | (Omit<StoredImage, 'stored'> & { readonly storedBytes: number; readonly applies: boolean })
    | undefined;
}

/** What the headers of a record say. */
export interface RecordHeaders {
  readonly blocks: readonly BlockHeader[];
  /** Bytes of the main data. */
  readonly mainBytes: number;
  readonly topXid: number;
  /** Where images and data of the blocks begin; the main data follows. */
  readonly at: number;
}

/** The headers of a record; `undefined` when they do not add up to it. */
export function readHeaders(record: RecordBody, major: PostgresMajor): RecordHeaders | undefined {
  const headers = new Headers(record, major);
  return headers.read() ? headers : undefined;
}

/** Reads the headers one after the other. */
class Headers implements RecordHeaders {
  readonly blocks: BlockHeader[] = [];
  mainBytes = 0;
  topXid = 0;
  at: number;
  /** Bytes that the headers read so far announce; the headers end where these begin. */
  announced = 0;
  readonly #record: RecordBody;
  readonly #major: PostgresMajor;

  constructor(record: RecordBody, major: PostgresMajor) {
    this.#record = record;
    this.#major = major;
    this.at = record.start;
  }

  /** False when they do not add up to the record. */
  read(): boolean {
    const { view, end } = this.#record;
    while (end - this.at > this.announced) {
      const id = view.getUint8(this.at);
      if (id === ID.dataShort || id === ID.dataLong) {
        const size = id === ID.dataShort ? 2 : 5;
        if (end - this.at < size) return false;
        this.mainBytes = size === 2 ? view.getUint8(this.at + 1) : view.getUint32(this.at + 1, true);
        this.announced += this.mainBytes;
        this.at += size;
        break;
      }
      if (id === ID.origin) this.at += 3;
      else if (id === ID.topLevelXid) {
        if (end - this.at < 5) return false;
        this.topXid = view.getUint32(this.at + 1, true);
        this.at += 5;
      } else if (id > ID.largestBlock || !this.#readBlock()) return false;
    }
    return end - this.at === this.announced;
  }

  #readBlock(): boolean {
    const { view, end } = this.#record;
    const start = this.at;
    if (end - start < 8) return false;
    const flags = view.getUint8(start + 1);
    const dataBytes = view.getUint16(start + 2, true);
    let at = start + 4;
    let image: BlockHeader['image'];
    if ((flags & FLAG.hasImage) !== 0) {
      if (end - at < 9) return false;
      const info = view.getUint8(at + 4);
      const compression = compressionOf(info, this.#major);
      const storedBytes = view.getUint16(at, true);
      const holeOffset = view.getUint16(at + 2, true);
      const hasHole = (info & IMAGE_HAS_HOLE) !== 0;
      const saysHole = hasHole && compression !== 'none';
      const holeBytes = saysHole ? view.getUint16(at + 5, true) : hasHole ? PAGE_BYTES - storedBytes : 0;
      image = { compression, storedBytes, holeOffset, holeBytes, applies: imageApplies(info, this.#major) };
      at += saysHole ? 7 : 5;
    }
    const isSame = (flags & FLAG.sameRelation) !== 0;
    const id = isSame ? this.blocks.at(-1) : end - at < 16 ? undefined : this.#relationAt(at);
    if (id === undefined) return false;
    if (!isSame) at += 12;
    if (end - at < 4) return false;
    const { tablespace, database, relfilenode } = id;
    this.blocks.push({ tablespace, database, relfilenode, flags, block: view.getUint32(at, true), dataBytes, image });
    this.at = at + 4;
    this.announced += dataBytes + (image?.storedBytes ?? 0);
    return true;
  }

  #relationAt(at: number): Id {
    const { view } = this.#record;
    return {
      tablespace: view.getUint32(at, true),
      database: view.getUint32(at + 4, true),
      relfilenode: view.getUint32(at + 8, true),
    };
  }
}
