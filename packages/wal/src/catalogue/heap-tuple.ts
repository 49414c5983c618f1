/**
 * Rows of heap pages, as far as their visibility and the bytes of their columns go.
 * @see src/include/access/htup_details.h and storage/bufpage.h in PostgreSQL
 * @packageDocumentation
 */

/** Bytes of a page. */
export const PAGE_BYTES = 8192;
/** Bytes of a tuple's header before its null bitmap. */
export const TUPLE_HEADER_BYTES = 23;

const PAGE_HEADER_BYTES = 24;
const ITEM_BYTES = 4;
const LP_NORMAL = 1;

/** Bits of t_infomask that visibility depends on. */
export const INFOMASK = {
  xmaxKeyShare: 0x0010,
  xmaxExclusive: 0x0040,
  xmaxLockOnly: 0x0080,
  xminCommitted: 0x0100,
  xminInvalid: 0x0200,
  xminFrozen: 0x0300,
  xmaxCommitted: 0x0400,
  xmaxInvalid: 0x0800,
  xmaxIsMulti: 0x1000,
  moved: 0xc000,
  /** All that is said of xmax. */
  xmaxBits: 0x1cd0,
} as const;

/** Bit of t_infomask2: the row was deleted, or its key changed. */
const KEYS_UPDATED = 0x2000;
/** Bits of a record's infobits_set. */
const INFOBITS = { isMulti: 0x01, lockOnly: 0x02, exclusive: 0x04, keyShare: 0x08, keysUpdated: 0x10 } as const;

/** A version of a row. */
export interface HeapTuple {
  xmin: number;
  xmax: number;
  infomask2: number;
  infomask: number;
  /** Where the columns begin, from the start of the tuple. */
  readonly headerBytes: number;
  /** What follows the fixed header: null bitmap, padding, columns. */
  readonly body: Uint8Array;
}

/** A page, without where its rows lie. */
export interface HeapBlock {
  /** Records that end at or before it are in the page already. */
  lsn: bigint;
  /** By offset number. */
  readonly tuples: Map<number, HeapTuple>;
}

/** Reads a page; `undefined` for bytes that are no page of a heap. A page that was never used is an empty one. */
export function readHeapPage(page: Uint8Array): HeapBlock | undefined {
  if (page.length < PAGE_BYTES) return undefined;
  const view = new DataView(page.buffer, page.byteOffset, PAGE_BYTES);
  const lower = view.getUint16(12, true);
  const upper = view.getUint16(14, true);
  const tuples = new Map<number, HeapTuple>();
  if (upper === 0) return { lsn: 0n, tuples };
  if (lower < PAGE_HEADER_BYTES || lower > upper || upper > PAGE_BYTES) return undefined;
  const lsn = (BigInt(view.getUint32(0, true)) << 32n) | BigInt(view.getUint32(4, true));
  const count = (lower - PAGE_HEADER_BYTES) / ITEM_BYTES;
  for (let index = 0; index < Math.floor(count); index++) {
    const item = view.getUint32(PAGE_HEADER_BYTES + index * ITEM_BYTES, true);
    if (((item >>> 15) & 3) !== LP_NORMAL) continue;
    const tuple = readTuple(page, view, item & 0x7f_ff, item >>> 17);
    if (tuple === undefined) return undefined;
    tuples.set(index + 1, tuple);
  }
  return { lsn, tuples };
}

function readTuple(page: Uint8Array, view: DataView, at: number, length: number): HeapTuple | undefined {
  if (length < TUPLE_HEADER_BYTES || at + length > PAGE_BYTES) return undefined;
  return {
    xmin: view.getUint32(at, true),
    xmax: view.getUint32(at + 4, true),
    infomask2: view.getUint16(at + 18, true),
    infomask: view.getUint16(at + 20, true),
    headerBytes: view.getUint8(at + 22),
    body: page.slice(at + TUPLE_HEADER_BYTES, at + length),
  };
}

/** The columns of a row, without their null bitmap. */
export function columnsOf(tuple: HeapTuple): Uint8Array {
  return tuple.body.subarray(tuple.headerBytes - TUPLE_HEADER_BYTES);
}

/** Writes down that a transaction deleted, replaced or locked this version, as fix_infomask_from_infobits() does. */
export function setXmax(tuple: HeapTuple, xmax: number, infobits: number): void {
  let mask = tuple.infomask & ~(INFOMASK.xmaxBits | INFOMASK.moved);
  if ((infobits & INFOBITS.isMulti) !== 0) mask |= INFOMASK.xmaxIsMulti;
  if ((infobits & INFOBITS.lockOnly) !== 0) mask |= INFOMASK.xmaxLockOnly;
  if ((infobits & INFOBITS.exclusive) !== 0) mask |= INFOMASK.xmaxExclusive;
  if ((infobits & INFOBITS.keyShare) !== 0) mask |= INFOMASK.xmaxKeyShare;
  tuple.infomask = mask;
  const keys = (infobits & INFOBITS.keysUpdated) !== 0 ? KEYS_UPDATED : 0;
  tuple.infomask2 = (tuple.infomask2 & ~KEYS_UPDATED) | keys;
  tuple.xmax = xmax;
}
