// Walks the records of WAL pages. AssemblyScript, not TypeScript: scripts/build-wasm.ts compiles it to WebAssembly.
// It goes on only while all is in order and stops before any record that is not, crosses a page or switches the segment: what
// to make of those is decided in TypeScript (src/scanner.ts). Nothing is allocated; the memory is laid out in layout.ts.
// See src/include/access/xlogrecord.h, heapam_xlog.h and src/backend/access/transam/xlogreader.c of PostgreSQL.
import { addBlock } from './blocks';
import { isRight, prepareCrc } from './crc';
import { event, show } from './host';
import { COUNTS, NONE, RELATION_BYTES, RELATION_TELLS, RELATIONS } from './layout';
import { clearEnds, takeEnd } from './ordinary';
import { clearRows, findRelation } from './relations';
import { takeRows } from './rows';
import { noteTop } from './transactions';

export * from './layout';
export { clearBlocks } from './blocks';
export { crc } from './crc';
export { foldFrom, isKnown, isPartial, knownFrom, noteEnd, segmentStart, shapes, watching } from './ordinary';
export { findRelation, relations } from './relations';
export { findEffect, finish, lost, noteTop, purge, release, transactions } from './transactions';

export let records: u32 = 0;
/** PostgreSQL's major version, which the shape of images depends on. */
export let major: u32 = 18;
/** Every record is shown. */
export let everything: bool = false;
/** Start of the last record that was walked over. */
export let previousLow: u32 = 0;
export let previousHigh: u32 = 0;

/** Fills the tables of the CRC. */
export function prepare(): void {
  prepareCrc();
}

/** Forgets what a segment held. */
export function clearSegment(): void {
  clearRows();
  clearEnds();
  memory.fill(COUNTS, 0, 0x4000);
  records = 0;
}

/**
 * Walks the records that lie whole in [from, end) of one page; `from` has the LSN low/high, the record before began at the
 * other one. Returns where it stopped, and leaves in previousLow and previousHigh where the last record began.
 */
export function walk(from: u32, end: u32, low: u32, high: u32, beforeLow: u32, beforeHigh: u32): u32 {
  const shift = (((high as u64) << 32) | (low as u64)) - (from as u64);
  let before = ((beforeHigh as u64) << 32) | (beforeLow as u64);
  let at = from;
  while (at + 24 <= end) {
    const total = load<u32>(at);
    if (total < 24 || total > ((end - at) as u32)) break;
    const manager = load<u8>(at, 17) as u32;
    const info = load<u8>(at, 16) as u32;
    if (manager > 21 || load<u64>(at, 8) != before || (manager == 0 && isForScanner(info & 0xf0))) break;
    if (!isRight(at, total)) break;
    const lsn = shift + (at as u64);
    const length = (total + 7) & ~7;
    if (!digest(at, total, lsn as u32, (lsn >> 32) as u32, length)) break;
    before = lsn;
    at += length;
  }
  previousLow = before as u32;
  previousHigh = (before >> 32) as u32;
  return at;
}

/**
 * Takes in a whole record whose CRC is right, and which the next one follows after `length` bytes. False when it cannot be read,
 * or TypeScript could not read it.
 */
export function digest(record: u32, total: u32, low: u32, high: u32, length: u32): bool {
  const manager = load<u8>(record, 17) as u32;
  const info = load<u8>(record, 16) as u32;
  if (everything && !show(record, total)) return false;
  if (manager == 1 && takeEnd(record, info, total, ((high as u64) << 32) | (low as u64), length)) {
    count(manager, info);
    return true;
  }
  const end = record + total;
  let at = record + 24;
  let rest: u32 = total - 24;
  // Bytes of images and data that the headers read so far announce; the headers end where these begin.
  let announced: u32 = 0;
  let isEvent: bool = isTelling(manager, info);
  let relation: u32 = NONE;
  let first: u32 = NONE;
  let firstBlock: u32 = 0;
  let otherBlock: u32 = NONE;
  let mainBytes: u32 = 0;
  let top: u32 = 0;
  while (rest > announced) {
    const id = load<u8>(at) as u32;
    let size: u32 = 2;
    if (id == 255) {
      if (rest < 2) return false;
      mainBytes = load<u8>(at, 1) as u32;
      announced += mainBytes;
      rest -= 2;
      break;
    } else if (id == 254) {
      if (rest < 5) return false;
      mainBytes = load<u32>(at, 1);
      if (mainBytes > total) return false;
      announced += mainBytes;
      rest -= 5;
      break;
    } else if (id == 253) {
      size = 3;
    } else if (id == 252) {
      size = 5;
      if (rest < 5) return false;
      top = load<u32>(at, 1);
    } else {
      if (id > 32 || rest < 8) return false;
      const flags = load<u8>(at, 1) as u32;
      announced += load<u16>(at, 2) as u32;
      size = 4;
      if ((flags & 0x10) != 0) {
        if (rest < 13) return false;
        const image = load<u8>(at, 8) as u32;
        announced += load<u16>(at, 4) as u32;
        size = (image & 1) != 0 && (image & (major == 14 ? 0x02 : 0x1c)) != 0 ? 11 : 9;
      }
      if ((flags & 0x80) == 0) {
        if (rest < size + 16) return false;
        relation = findRelation(load<u32>(at + size), load<u32>(at + size, 4), load<u32>(at + size, 8));
        size += 12;
      } else if (relation == NONE || rest < size + 4) return false;
      const block = load<u32>(at + size);
      size += 4;
      if (relation != NONE) {
        addBlock((relation << 2) | (flags & 3), block);
        if ((load<u32>(RELATIONS + relation * RELATION_BYTES, 12) & RELATION_TELLS) != 0) isEvent = true;
        if (id == 0) {
          first = relation;
          firstBlock = block;
        } else if (id == 1 && relation == first) otherBlock = block;
      }
    }
    if (rest < size) return false;
    at += size;
    rest -= size;
  }
  if (rest != announced) return false;
  if (top != 0) noteTop(load<u32>(record, 4), top, low, high);
  if (first != NONE && !takeRows(record, manager, info, end - mainBytes, mainBytes, first, firstBlock, otherBlock, low, high))
    return false;
  if (isEvent && !event(record, total)) return false;
  count(manager, info);
  return true;
}

@inline
function count(manager: u32, info: u32): void {
  records++;
  const counter = COUNTS + (manager << 6) + ((info >> 4) << 2);
  store<u32>(counter, load<u32>(counter) + 1);
}

/** A switch of segments, and what replaces a record that was never finished: they change where records are looked for. */
@inline
function isForScanner(operation: u32): bool {
  return operation == 0x40 || operation == 0xd0;
}

/** Records that TypeScript sees whatever they name. */
@inline
function isTelling(manager: u32, info: u32): bool {
  if (manager == 10) return (info & 0x70) == 0x30;
  if (manager > 8) return manager >= 21;
  // Of XLOG all but images of pages, of which most of the WAL behind a checkpoint may be made.
  return manager == 0 ? (info & 0xf0) != 0xa0 && (info & 0xf0) != 0xb0 : manager != 3 && manager != 5 && manager != 6;
}
