/**
 * Replays what heap records do to pages of catalogues.
 * @see src/backend/access/heap/heapam_xlog.c and src/include/access/heapam_xlog.h in PostgreSQL
 * @packageDocumentation
 */
import type { DecodedBlock, DecodedRecord } from '../lens/decoded-record.ts';
import type { PostgresMajor } from '../page-header.ts';
import type { HeapFile } from './heap-file.ts';
import { redoFreeze, redoOldPrune, redoPrune, redoVacuum } from './heap-prune.ts';
import { type HeapBlock, type HeapTuple, readHeapPage, setXmax, TUPLE_HEADER_BYTES } from './heap-tuple.ts';

const RM = { xlog: 0, heap2: 9, heap: 10 } as const;
const INIT_PAGE = 0x80;
const OPCODE = 0x70;
const HEAP = { insert: 0x00, delete: 0x10, update: 0x20, hotUpdate: 0x40, confirm: 0x50, lock: 0x60, inplace: 0x70 };
const HEAP2 = { prune: 0x10, vacuum: 0x20, freeze: 0x30, visible: 0x40, multiInsert: 0x50, lockUpdated: 0x60 };
const DELETE_IS_SUPER = 1 << 3;
const UPDATE = { prefix: 1 << 5, suffix: 1 << 6 } as const;
/** Bytes of xl_heap_header and of xl_multi_insert_tuple. */
const HEADER = { single: 5, multi: 7 } as const;

/** Where the pages are kept, and who wants to know of what. */
export interface RedoTarget {
  readonly major: PostgresMajor;
  /** The file of a page, if it is followed. */
  file(block: DecodedBlock): HeapFile | undefined;
  /** A version of a row came, or was deleted, by the record's transaction. */
  touched(file: HeapFile, tuple: HeapTuple): void;
  /** A version was changed in place, whatever becomes of the transaction. */
  changedInPlace(file: HeapFile, tuple: HeapTuple): void;
}

const viewOf = (bytes: Uint8Array): DataView => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);

/** A page that a record is replayed on. */
export interface Page {
  readonly file: HeapFile;
  readonly number: number;
  readonly block: HeapBlock;
  readonly data: Uint8Array;
  /** An image stands for the record's own change. */
  readonly isRestored: boolean;
}

/** Replays one record of any resource manager on those of its pages that are followed. */
export function redo(record: DecodedRecord, target: RedoTarget): void {
  const pages = record.blocks.map((block) => open(record, block, target));
  try {
    if (record.resourceManager === RM.heap) redoHeap(record, pages, target);
    else if (record.resourceManager === RM.heap2) redoHeap2(record, pages, target);
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    // A record that is not what it is taken for: its pages are not known any more.
    for (const page of pages) page?.file.lose(page.number);
  }
  for (const page of pages) if (page !== undefined) page.block.lsn = record.endLsn;
}

/** The page as the record finds it; `undefined` for one that is not followed, not known, or has the record in it already. */
function open(record: DecodedRecord, block: DecodedBlock, target: RedoTarget): Page | undefined {
  const file = block.fork === 0 ? target.file(block) : undefined;
  if (file === undefined) return undefined;
  const page = { file, number: block.block, data: block.data };
  if (block.imageApplies) {
    const image = block.image;
    const read = image === undefined ? undefined : readHeapPage(image);
    if (read === undefined) {
      file.lose(block.block);
      return undefined;
    }
    file.replace(block.block, read);
    return { ...page, block: read, isRestored: true };
  }
  if (block.willInit) file.replace(block.block, { lsn: 0n, tuples: new Map() });
  const known = file.block(block.block);
  if (known === undefined) file.unknown.add(block.block);
  // What changes no row leaves the LSN of the page as it is.
  if (known === undefined || known.lsn >= record.endLsn || isHint(record)) return undefined;
  return { ...page, block: known, isRestored: false };
}

const isHint = ({ resourceManager, info }: DecodedRecord): boolean =>
  resourceManager === RM.heap2 && (info & OPCODE) === HEAP2.visible;

function redoHeap(record: DecodedRecord, pages: readonly (Page | undefined)[], target: RedoTarget): void {
  const [page] = pages;
  const main = viewOf(record.mainData);
  switch (record.info & OPCODE) {
    case HEAP.insert:
      if (page !== undefined) insert(record, page, main.getUint16(0, true), target);
      break;
    case HEAP.delete:
      if (page !== undefined) remove(page, main, target);
      break;
    case HEAP.update:
    case HEAP.hotUpdate:
      update(record, pages, main, target);
      break;
    case HEAP.lock:
      if (page !== undefined) lock(page, main);
      break;
    case HEAP.inplace:
      if (page !== undefined) inplace(page, main.getUint16(0, true), target);
      break;
    default:
  }
}

function redoHeap2(record: DecodedRecord, [page]: readonly (Page | undefined)[], target: RedoTarget): void {
  if (page === undefined) return;
  const opcode = record.info & OPCODE;
  if (opcode === HEAP2.multiInsert) return multiInsert(record, page, target);
  if (page.isRestored) return;
  if (opcode === HEAP2.lockUpdated) return lock(page, viewOf(record.mainData));
  if (opcode !== HEAP2.prune && opcode !== HEAP2.vacuum && opcode !== HEAP2.freeze) return;
  if (target.major >= 17) redoPrune(page, record.mainData);
  else if (opcode === HEAP2.prune) redoOldPrune(page, record.mainData);
  else if (opcode === HEAP2.vacuum) redoVacuum(page);
  else redoFreeze(page, record.mainData, target.major);
}

/** A tuple as records have it: three fields of its header, then all behind the fixed header. */
function tupleAt(view: DataView, at: number, length: number, xmin: number): HeapTuple {
  const body = new Uint8Array(length);
  body.set(new Uint8Array(view.buffer, view.byteOffset + at + HEADER.single, length));
  return {
    xmin,
    xmax: 0,
    infomask2: view.getUint16(at, true),
    infomask: view.getUint16(at + 2, true),
    headerBytes: view.getUint8(at + 4),
    body,
  };
}

function insert(record: DecodedRecord, page: Page, offset: number, target: RedoTarget): void {
  if (!page.isRestored) {
    const data = viewOf(page.data);
    page.file.set(page.number, offset, tupleAt(data, 0, data.byteLength - HEADER.single, record.xid));
  }
  touch(page, offset, target);
}

function touch(page: Page, offset: number, target: RedoTarget): void {
  const tuple = page.block.tuples.get(offset);
  if (tuple !== undefined) target.touched(page.file, tuple);
}

function multiInsert(record: DecodedRecord, page: Page, target: RedoTarget): void {
  const main = viewOf(record.mainData);
  const data = viewOf(page.data);
  const count = main.getUint16(2, true);
  const isInit = (record.info & INIT_PAGE) !== 0;
  let at = 0;
  for (let index = 0; index < count; index++) {
    const offset = isInit ? index + 1 : main.getUint16(4 + index * 2, true);
    if (!page.isRestored) {
      // Aligned within the record, whose data for this page begins aligned in the server's memory.
      at += at & 1;
      const length = data.getUint16(at, true);
      page.file.set(page.number, offset, tupleAt(data, at + HEADER.multi - HEADER.single, length, record.xid));
      at += HEADER.multi + length;
    }
    touch(page, offset, target);
  }
}

function remove(page: Page, main: DataView, target: RedoTarget): void {
  const tuple = page.block.tuples.get(main.getUint16(4, true));
  if (tuple === undefined) return;
  const isSuper = (main.getUint8(7) & DELETE_IS_SUPER) !== 0;
  if (!page.isRestored) {
    setXmax(tuple, isSuper ? tuple.xmax : main.getUint32(0, true), main.getUint8(6));
    if (isSuper) tuple.xmin = 0;
  }
  target.touched(page.file, tuple);
}

/** The first block is the new version's page, the second the old one's where that is another. */
function update(
  record: DecodedRecord,
  [fresh, other]: readonly (Page | undefined)[],
  main: DataView,
  target: RedoTarget,
): void {
  const isSame = record.blocks.length < 2 || !isMainOf(record, 1);
  const old = isSame ? fresh : other;
  const before = old?.block.tuples.get(main.getUint16(4, true));
  const offset = main.getUint16(12, true);
  const made = fresh === undefined || fresh.isRestored ? undefined : updated(record, fresh, before, main);
  if (before !== undefined && old !== undefined) {
    if (!old.isRestored) setXmax(before, main.getUint32(0, true), main.getUint8(6));
    target.touched(old.file, before);
  }
  if (fresh === undefined) return;
  if (made !== undefined) fresh.file.set(fresh.number, offset, made);
  else if (!fresh.isRestored) return fresh.file.lose(fresh.number);
  touch(fresh, offset, target);
}

/** Some minors name pages of the visibility map behind those of the heap. */
const isMainOf = (record: DecodedRecord, index: number): boolean => record.blocks[index]?.fork === 0;

/** The new version; `undefined` when it begins or ends like an old one that is not known. */
function updated(
  record: DecodedRecord,
  page: Page,
  before: HeapTuple | undefined,
  main: DataView,
): HeapTuple | undefined {
  const data = viewOf(page.data);
  const flags = main.getUint8(7);
  let at = 0;
  const count = (bit: number): number => {
    if ((flags & bit) === 0) return 0;
    at += 2;
    return data.getUint16(at - 2, true);
  };
  const prefix = count(UPDATE.prefix);
  const suffix = count(UPDATE.suffix);
  const stored = tupleAt(data, at, data.byteLength - at - HEADER.single, record.xid);
  const xmax = main.getUint32(8, true);
  if (prefix === 0 && suffix === 0) return { ...stored, xmax };
  if (before === undefined) return undefined;
  const old = before.body.subarray(before.headerBytes - TUPLE_HEADER_BYTES);
  if (prefix > old.length || suffix > old.length) return undefined;
  const bitmap = stored.headerBytes - TUPLE_HEADER_BYTES;
  const parts = [
    stored.body.subarray(0, bitmap),
    old.subarray(0, prefix),
    stored.body.subarray(bitmap),
    old.subarray(old.length - suffix),
  ];
  return { ...stored, xmax, body: new Uint8Array(Buffer.concat(parts)) };
}

function lock(page: Page, main: DataView): void {
  const tuple = page.block.tuples.get(main.getUint16(4, true));
  if (tuple !== undefined && !page.isRestored) setXmax(tuple, main.getUint32(0, true), main.getUint8(6));
}

function inplace(page: Page, offset: number, target: RedoTarget): void {
  const before = page.block.tuples.get(offset);
  if (before === undefined) return;
  if (page.isRestored) return target.changedInPlace(page.file, before);
  const header = before.headerBytes - TUPLE_HEADER_BYTES;
  const body = new Uint8Array(Buffer.concat([before.body.subarray(0, header), page.data]));
  const tuple = { ...before, body };
  page.file.set(page.number, offset, tuple);
  target.changedInPlace(page.file, tuple);
}
