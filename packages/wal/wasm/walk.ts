// Walks the records of WAL pages. AssemblyScript, not TypeScript: scripts/build-wasm.ts compiles it to WebAssembly.
// It goes on only while all is in order and stops before any record that is not, crosses a page or switches the segment: what
// to make of those is decided in TypeScript (src/scanner.ts). Nothing is allocated; the memory is laid out below.
// See src/include/access/xlogrecord.h, heapam_xlog.h and src/backend/access/transam/xlogreader.c of PostgreSQL.

/** Hands a record to TypeScript; false ends the walk before it. */
declare function event(record: u32, total: u32): bool;
/** A relation was met for the first time. Returns whether records that name it are events. */
declare function newRelation(index: u32): u32;
/** The table of blocks is full and must be emptied. */
declare function blocksAreFull(): void;

const TABLES: u32 = 0;
/** Records by resource manager and the upper half of their info. */
export const COUNTS: u32 = 0x8000;
/** What finish() found beside the effects: how many, the top-level xid, LSN of the first. */
export const FOUND: u32 = 0x7ff0;
export const PIECE: u32 = 0x10000;
export const PIECE_BYTES: u32 = 0x100000;
export const SCRATCH: u32 = PIECE + PIECE_BYTES;
export const SCRATCH_BYTES: u32 = 0x400000;

// Relations: tablespace, database, relfilenode, flags; then what was done to its rows in this segment, and the block before.
export const RELATIONS: u32 = SCRATCH + SCRATCH_BYTES;
export const RELATION_BYTES: u32 = 36;
export const RELATION_CAPACITY: u32 = 1 << 17;
const RELATION_HASH: u32 = RELATIONS + RELATION_BYTES * RELATION_CAPACITY;
const RELATION_MASK: u32 = RELATION_CAPACITY * 2 - 1;

// Transactions by xid, open addressing: xid, first effect, LSN of the first (8 bytes), top-level xid, number of effects.
export const XIDS: u32 = RELATION_HASH + RELATION_CAPACITY * 8;
export const XID_BYTES: u32 = 24;
export const XID_CAPACITY: u32 = 1 << 19;
const XID_MASK: u32 = XID_CAPACITY - 1;

// Effects of a transaction on a relation: relation, inserted, updated, deleted, pages, the block before, next effect.
const EFFECTS: u32 = XIDS + XID_BYTES * XID_CAPACITY;
export const EFFECT_BYTES: u32 = 28;
const EFFECT_CAPACITY: u32 = 1 << 19;

// Changed blocks: a set of relation * 4 + fork (u32) and block (u32), the first plus one so that zero is none.
export const BLOCKS: u32 = EFFECTS + EFFECT_BYTES * EFFECT_CAPACITY;
export const BLOCK_CAPACITY: u32 = 1 << 17;
const BLOCK_MASK: u32 = BLOCK_CAPACITY - 1;
export const MEMORY_BYTES: u32 = BLOCKS + BLOCK_CAPACITY * 8;

const NONE: u32 = 0xffffffff;

export let relations: u32 = 0;
export let blocks: u32 = 0;
export let transactions: u32 = 0;
export let records: u32 = 0;
/** Effects that found no room. */
export let lost: u32 = 0;
/** PostgreSQL's major version, which the shape of images depends on. */
export let major: u32 = 18;
/** Every record is an event. */
export let everything: bool = false;
/** Start of the last record that was walked over. */
export let previousLow: u32 = 0;
export let previousHigh: u32 = 0;
let effectsUsed: u32 = 0;
let freeEffect: u32 = 0;
let cachedXid: u32 = 0;
let cachedRelation: u32 = NONE;
let cachedEffect: u32 = 0;
let cachedSlot: u32 = 0;
let lastRelation: u32 = NONE;

/** Tables of the CRC: Castagnoli's polynomial, bits reversed. */
export function prepare(): void {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let value = byte;
    for (let bit = 0; bit < 8; bit++) value = (value & 1) != 0 ? (value >> 1) ^ 0x82f63b78 : value >> 1;
    store<u32>(TABLES + (byte << 2), value);
  }
  for (let byte: u32 = 0; byte < 256; byte++) {
    let value = load<u32>(TABLES + (byte << 2));
    for (let table: u32 = 1; table < 8; table++) {
      value = (value >> 8) ^ load<u32>(TABLES + ((value & 0xff) << 2));
      store<u32>(TABLES + (table << 10) + (byte << 2), value);
    }
  }
}

/** Feeds bytes into a running CRC register. */
export function crc(register: u32, from: u32, to: u32): u32 {
  let sum = register;
  let at = from;
  for (; at + 8 <= to; at += 8) {
    const low = sum ^ load<u32>(at);
    const high = load<u32>(at, 4);
    sum =
      load<u32>(TABLES + ((low & 0xff) << 2), 7 << 10) ^
      load<u32>(TABLES + (((low >> 8) & 0xff) << 2), 6 << 10) ^
      load<u32>(TABLES + (((low >> 16) & 0xff) << 2), 5 << 10) ^
      load<u32>(TABLES + ((low >> 24) << 2), 4 << 10) ^
      load<u32>(TABLES + ((high & 0xff) << 2), 3 << 10) ^
      load<u32>(TABLES + (((high >> 8) & 0xff) << 2), 2 << 10) ^
      load<u32>(TABLES + (((high >> 16) & 0xff) << 2), 1 << 10) ^
      load<u32>(TABLES + ((high >> 24) << 2));
  }
  for (; at < to; at++) sum = load<u32>(TABLES + (((sum ^ load<u8>(at)) & 0xff) << 2)) ^ (sum >> 8);
  return sum;
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
    const sum = crc(crc(-1, at + 24, at + total), at, at + 20);
    if (~sum != load<u32>(at, 20)) break;
    const lsn = shift + (at as u64);
    if (!digest(at, total, lsn as u32, (lsn >> 32) as u32)) break;
    before = lsn;
    at += (total + 7) & ~7;
  }
  previousLow = before as u32;
  previousHigh = (before >> 32) as u32;
  return at;
}

/** Takes in a whole record whose CRC is right. False when it cannot be read, or TypeScript could not read it. */
export function digest(record: u32, total: u32, low: u32, high: u32): bool {
  const manager = load<u8>(record, 17) as u32;
  const info = load<u8>(record, 16) as u32;
  const end = record + total;
  let at = record + 24;
  let rest: u32 = total - 24;
  // Bytes of images and data that the headers read so far announce; the headers end where these begin.
  let announced: u32 = 0;
  let isEvent: bool = everything || isTelling(manager, info);
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
        if (load<u32>(RELATIONS + relation * RELATION_BYTES, 12) != 0) isEvent = true;
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
  const main = end - mainBytes;
  if (top != 0) noteTop(load<u32>(record, 4), top, low, high);
  if (first != NONE && !takeRows(record, manager, info, main, mainBytes, first, firstBlock, otherBlock, low, high))
    return false;
  if (isEvent && !event(record, total)) return false;
  records++;
  const counter = COUNTS + (manager << 6) + ((info >> 4) << 2);
  store<u32>(counter, load<u32>(counter) + 1);
  return true;
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

/** Rows of heap records. See the opcodes and structures of heapam_xlog.h. */
function takeRows(
  record: u32,
  manager: u32,
  info: u32,
  main: u32,
  mainBytes: u32,
  relation: u32,
  block: u32,
  other: u32,
  low: u32,
  high: u32,
): bool {
  if (manager != 10 && manager != 9) return true;
  const operation = info & 0x70;
  let field: u32 = 0;
  let rows: u32 = 1;
  if (manager == 9) {
    if (operation != 0x50) return true;
    if (mainBytes < 4) return false;
    field = 4;
    rows = load<u16>(main, 2) as u32;
  } else if (operation == 0x00) field = 4;
  else if (operation == 0x20 || operation == 0x40) field = 8;
  else if (operation == 0x10) {
    if (mainBytes < 8) return false;
    // The withdrawal of a speculative insertion takes back what was counted when it was made.
    field = (load<u8>(main, 7) & 0x08) != 0 ? 4 : 12;
    if (field == 4) rows = -1;
  } else return true;
  const xid = load<u32>(record, 4);
  if (xid == 0) return true;
  const effect = findEffect(xid, relation, low, high);
  if (effect != 0) add(effect, field, rows, block, other);
  // The same fields lie behind the flags of a relation.
  add(RELATIONS + relation * RELATION_BYTES + 12, field, rows, block, other);
  return true;
}

@inline
function add(to: u32, field: u32, rows: u32, block: u32, other: u32): void {
  store<u32>(to + field, load<u32>(to + field) + rows);
  let pages: u32 = 0;
  let last = load<u32>(to, 20);
  if (other != NONE && other != block && other != last) {
    pages++;
    last = other;
  }
  if (block != last) pages++;
  store<u32>(to, load<u32>(to, 16) + pages, 16);
  store<u32>(to, block, 20);
}

/** The number of a relation, which it is given when it is met for the first time. */
export function findRelation(tablespace: u32, database: u32, node: u32): u32 {
  if (lastRelation != NONE && isRelation(lastRelation, tablespace, database, node)) return lastRelation;
  let slot = (node * 0x9e3779b1 ^ database * 0x85ebca6b ^ tablespace) & RELATION_MASK;
  while (true) {
    const place = RELATION_HASH + (slot << 2);
    const found = load<u32>(place);
    if (found == 0) {
      if (relations >= RELATION_CAPACITY) return NONE;
      const index = relations++;
      const entry = RELATIONS + index * RELATION_BYTES;
      store<u32>(entry, tablespace);
      store<u32>(entry, database, 4);
      store<u32>(entry, node, 8);
      store<u32>(entry, NONE, 32);
      store<u32>(place, index + 1);
      store<u32>(entry, newRelation(index), 12);
      lastRelation = index;
      return index;
    }
    if (isRelation(found - 1, tablespace, database, node)) {
      lastRelation = found - 1;
      return found - 1;
    }
    slot = (slot + 1) & RELATION_MASK;
  }
}

@inline
function isRelation(index: u32, tablespace: u32, database: u32, node: u32): bool {
  const entry = RELATIONS + index * RELATION_BYTES;
  return load<u32>(entry, 8) == node && load<u32>(entry, 4) == database && load<u32>(entry) == tablespace;
}

function addBlock(owner: u32, block: u32): void {
  const key = (((owner + 1) as u64) << 32) | (block as u64);
  let slot = ((block ^ owner * 0x85ebca6b) * 0x9e3779b1) >> 15;
  while (true) {
    const place = BLOCKS + (slot << 3);
    const found = load<u64>(place);
    if (found == key) return;
    if (found == 0) {
      if (blocks >= (BLOCK_CAPACITY / 4) * 3) {
        blocksAreFull();
        addBlock(owner, block);
        return;
      }
      store<u64>(place, key);
      blocks++;
      return;
    }
    slot = (slot + 1) & BLOCK_MASK;
  }
}

/** Empties the table of blocks. */
export function clearBlocks(): void {
  memory.fill(BLOCKS, 0, BLOCK_CAPACITY * 8);
  blocks = 0;
}

/** Forgets what was done to relations in a segment. */
export function clearSegment(): void {
  for (let index: u32 = 0; index < relations; index++) {
    const entry = RELATIONS + index * RELATION_BYTES;
    memory.fill(entry + 16, 0, 16);
    store<u32>(entry, NONE, 32);
  }
  memory.fill(COUNTS, 0, 0x4000);
  records = 0;
}

function findSlot(xid: u32): u32 {
  let slot = xid & XID_MASK;
  while (true) {
    const place = XIDS + slot * XID_BYTES;
    const found = load<u32>(place);
    if (found == xid) return place;
    if (found == 0) return 0;
    slot = (slot + 1) & XID_MASK;
  }
}

function makeSlot(xid: u32, low: u32, high: u32): u32 {
  if (transactions >= (XID_CAPACITY / 4) * 3) {
    lost++;
    return 0;
  }
  let slot = xid & XID_MASK;
  while (load<u32>(XIDS + slot * XID_BYTES) != 0) slot = (slot + 1) & XID_MASK;
  const place = XIDS + slot * XID_BYTES;
  store<u32>(place, xid);
  store<u32>(place, 0, 4);
  store<u32>(place, low, 8);
  store<u32>(place, high, 12);
  store<u32>(place, 0, 16);
  store<u32>(place, 0, 20);
  transactions++;
  return place;
}

/** Notes whose subtransaction `xid` is. */
export function noteTop(xid: u32, top: u32, low: u32, high: u32): void {
  if (xid == 0) return;
  let slot = findSlot(xid);
  if (slot == 0) slot = makeSlot(xid, low, high);
  if (slot != 0) store<u32>(slot, top, 16);
}

/** What `xid` did to a relation; 0 when there is no room for it. */
export function findEffect(xid: u32, relation: u32, low: u32, high: u32): u32 {
  if (cachedXid == xid) {
    if (cachedRelation == relation) return cachedEffect;
  } else {
    let slot = findSlot(xid);
    if (slot == 0) slot = makeSlot(xid, low, high);
    if (slot == 0) return 0;
    cachedXid = xid;
    cachedSlot = slot;
  }
  let before: u32 = 0;
  let effect = load<u32>(cachedSlot, 4);
  while (effect != 0 && load<u32>(effect) != relation) {
    before = effect;
    effect = load<u32>(effect, 24);
  }
  if (effect == 0) {
    effect = makeEffect(relation);
    if (effect == 0) return 0;
    store<u32>(cachedSlot, load<u32>(cachedSlot, 20) + 1, 20);
    store<u32>(effect, load<u32>(cachedSlot, 4), 24);
    store<u32>(cachedSlot, effect as u32, 4);
  } else if (before != 0) {
    // To the front, so that a transaction of many relations finds those it works on.
    store<u32>(before, load<u32>(effect, 24), 24);
    store<u32>(effect, load<u32>(cachedSlot, 4), 24);
    store<u32>(cachedSlot, effect as u32, 4);
  }
  cachedRelation = relation;
  cachedEffect = effect;
  return effect;
}

function makeEffect(relation: u32): u32 {
  let effect = freeEffect;
  if (effect != 0) freeEffect = load<u32>(effect, 24);
  else {
    if (effectsUsed >= EFFECT_CAPACITY) {
      lost++;
      return 0;
    }
    effect = EFFECTS + effectsUsed++ * EFFECT_BYTES;
  }
  memory.fill(effect, 0, EFFECT_BYTES);
  store<u32>(effect, relation);
  store<u32>(effect, NONE, 20);
  return effect;
}

/** Takes a transaction out. Returns its first effect, 0 for none: to be given back by release(). Fills FOUND. */
export function finish(xid: u32): u32 {
  memory.fill(FOUND, 0, 16);
  const slot = findSlot(xid);
  if (slot == 0) return 0;
  const effect = load<u32>(slot, 4);
  store<u32>(FOUND, load<u32>(slot, 20));
  store<u32>(FOUND, load<u32>(slot, 16), 4);
  store<u64>(FOUND, load<u64>(slot, 8), 8);
  cachedXid = 0;
  cachedRelation = NONE;
  removeSlot(slot);
  return effect;
}

/** Removal by shifting back what came after, so that no probe meets a hole. */
function removeSlot(place: u32): void {
  transactions--;
  let hole = ((place - XIDS) / XID_BYTES) as u32;
  let next = hole;
  while (true) {
    next = (next + 1) & XID_MASK;
    const from = XIDS + next * XID_BYTES;
    const xid = load<u32>(from);
    if (xid == 0) break;
    const distance = (next - (xid & XID_MASK)) & XID_MASK;
    if (distance < ((next - hole) & XID_MASK)) continue;
    memory.copy(XIDS + hole * XID_BYTES, from, XID_BYTES);
    hole = next;
  }
  store<u32>(XIDS + hole * XID_BYTES, 0);
}

/** Gives back the effects of a transaction. */
export function release(first: u32): void {
  if (first == 0) return;
  let last = first;
  for (let next = load<u32>(last, 24); next != 0; next = load<u32>(last, 24)) last = next;
  store<u32>(last, freeEffect as u32, 24);
  freeEffect = first;
}

/** Forgets transactions that began before all that still run: a crash took them. */
export function purge(oldest: u32): void {
  for (let slot: u32 = 0; slot < XID_CAPACITY;) {
    const place = XIDS + slot * XID_BYTES;
    const xid = load<u32>(place);
    if (xid != 0 && ((xid - oldest) as i32) < 0) release(finish(xid));
    else slot++;
  }
}
