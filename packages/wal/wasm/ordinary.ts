// Transactions that did nothing but ordinary work, most of all: those of a segment that did the same are put together.
import { isWatched } from './host';
import {
  END_BYTES,
  END_CAPACITY,
  ENDED,
  ENDS,
  RELATION_BYTES,
  RELATION_SPECIAL,
  RELATIONS,
  SHAPE_BYTES,
  SHAPE_CAPACITY,
  SHAPE_HASH,
  SHAPE_MASK,
  SHAPE_WORDS,
  SHAPES,
  WORD_CAPACITY,
  WORDS,
} from './layout';
import { findSlot, lost, release, removeSlot } from './transactions';

/** Set while something is known of transactions beside the rows they wrote. */
export let watching: bool = false;
/** So many that are alike become one line. */
export let foldFrom: u32 = 32;
/** LSN of the segment's first byte. */
export let segmentStart: f64 = 0;
/** Whether all is known of transactions from `knownFrom` on; of earlier ones figures are a lower bound. */
export let isKnown: bool = false;
export let knownFrom: u32 = 0;
/** Shapes in the table. */
export let shapes: u32 = 0;
let ends: u32 = 0;
let words: u32 = 0;

/** PostgreSQL counts from 2000-01-01. */
const EPOCH_MICROS: f64 = 946684800000000;
/** A transaction with more rows in a table is never one of many. */
const LARGEST: u64 = 100;
/** As in the index: it was rolled back; it may have begun before it was looked at. */
const ABORT: u32 = 1;
const PARTIAL: u32 = 4;

/** Takes in the record that ends a transaction; false when it, or the transaction, is none of the ordinary ones. */
export function takeEnd(record: u32, info: u32, total: u32, lsn: u64, length: u32): bool {
  const abort: u32 = (info >> 5) & 1;
  if ((info & 0x50) != 0 || load<u8>(record, 24) != 255) return false;
  let expected: u32 = 34;
  let database: u32 = 0;
  if ((info & 0x80) != 0) {
    // Its database, which is told at wal_level logical, and how it was waited for; nothing else.
    const parts = total < 38 ? 2 : load<u32>(record, 34);
    if ((parts & 0x5ffffffe) != 0) return false;
    expected = (parts & 1) != 0 ? 46 : 38;
    if (total == 46) database = load<u32>(record, 38);
  }
  const xid = load<u32>(record, 4);
  if (total != expected || xid == 0 || (watching && isWatched(xid))) return false;
  const time = (load<i64>(record, 26) as f64) + EPOCH_MICROS;
  if (!takeIn(xid, abort, lsn as f64, length, time, database)) return false;
  noteEnd(abort, xid, time);
  return true;
}

/** Counts the end of any transaction. */
export function noteEnd(abort: u32, xid: u32, time: f64): void {
  const isFirst = load<u64>(ENDED) == 0;
  const counter = ENDED + (abort << 2);
  store<u32>(counter, load<u32>(counter) + 1);
  if (isFirst || ((xid - load<u32>(ENDED, 8)) as i32) < 0) store<u32>(ENDED, xid, 8);
  if (isFirst || ((load<u32>(ENDED, 12) - xid) as i32) < 0) store<u32>(ENDED, xid, 12);
  if (isFirst || time < load<f64>(ENDED, 16)) store<f64>(ENDED, time, 16);
  if (isFirst || time > load<f64>(ENDED, 24)) store<f64>(ENDED, time, 24);
}

/** Whether what was seen of a transaction may not be all of it. */
export function isPartial(xid: u32): bool {
  // What found no room may have been anybody's.
  return !isKnown || ((xid - knownFrom) as i32) < 0 || lost > 0;
}

function takeIn(xid: u32, abort: u32, lsn: f64, length: u32, time: f64, database: u32): bool {
  const slot = findSlot(xid);
  let first: u32 = 0;
  let count: u32 = 0;
  let firstLsn = lsn;
  if (slot != 0) {
    firstLsn = load<u64>(slot, 8) as f64;
    // A subtransaction, or one that began before the segment did.
    if (load<u32>(slot, 16) != 0 || firstLsn < segmentStart) return false;
    first = load<u32>(slot, 4);
    count = load<u32>(slot, 20);
  }
  const kind = isPartial(xid) ? abort | PARTIAL : abort;
  let hash: u32 = 0x811c9dc5 ^ kind;
  for (let effect = first; effect != 0; effect = load<u32>(effect, 24)) {
    if ((load<u32>(RELATIONS + load<u32>(effect) * RELATION_BYTES, 12) & RELATION_SPECIAL) != 0) return false;
    const rows = (load<u32>(effect, 4) as u64) + (load<u32>(effect, 8) as u64) + (load<u32>(effect, 12) as u64);
    if (rows > LARGEST) return false;
    for (let word: u32 = 0; word < SHAPE_WORDS; word++)
      hash = (hash ^ load<u32>(effect + (word << 2))) * 0x01000193;
  }
  const shape = findShape(hash, kind, first, count);
  if (shape == 0 || !addEnd(shape, xid, lsn, firstLsn, length, time, database)) return false;
  if (slot != 0) {
    release(first);
    removeSlot(slot);
  }
  return true;
}

/** The shape of these effects, made when there is none; 0 when there is no room for it. */
function findShape(hash: u32, kind: u32, first: u32, count: u32): u32 {
  let slot = (hash ^ (hash >> 15)) & SHAPE_MASK;
  while (true) {
    const place = SHAPE_HASH + (slot << 2);
    const found = load<u32>(place);
    if (found == 0) {
      if (shapes >= SHAPE_CAPACITY || words + count * SHAPE_WORDS > WORD_CAPACITY) return 0;
      const shape = makeShape(hash, kind, first, count);
      store<u32>(place, shape);
      return shape;
    }
    if (load<u32>(found) == hash && load<u32>(found, 4) == kind && hasShape(found, first, count)) return found;
    slot = (slot + 1) & SHAPE_MASK;
  }
}

function hasShape(shape: u32, first: u32, count: u32): bool {
  if (load<u32>(shape, 12) != count) return false;
  let at = load<u32>(shape, 16);
  for (let effect = first; effect != 0; effect = load<u32>(effect, 24)) {
    for (let word: u32 = 0; word < SHAPE_WORDS; word++)
      if (load<u32>(effect + (word << 2)) != load<u32>(at + (word << 2))) return false;
    at += SHAPE_WORDS << 2;
  }
  return true;
}

function makeShape(hash: u32, kind: u32, first: u32, count: u32): u32 {
  const shape = SHAPES + shapes++ * SHAPE_BYTES;
  const from = WORDS + (words << 2);
  words += count * SHAPE_WORDS;
  store<u32>(shape, hash);
  store<u32>(shape, kind, 4);
  store<u32>(shape, 0, 8);
  store<u32>(shape, count, 12);
  store<u32>(shape, from, 16);
  store<u32>(shape, 0, 20);
  let at = from;
  for (let effect = first; effect != 0; effect = load<u32>(effect, 24)) {
    memory.copy(at, effect, SHAPE_WORDS << 2);
    at += SHAPE_WORDS << 2;
  }
  return shape;
}

/** Counts one more of a shape, and keeps when and where it ended while they are not many. */
function addEnd(shape: u32, xid: u32, lsn: f64, firstLsn: f64, length: u32, time: f64, database: u32): bool {
  const count = load<u32>(shape, 8);
  if (count + 1 < foldFrom) {
    if (ends >= END_CAPACITY) return false;
    const end = ENDS + ends++ * END_BYTES;
    store<u32>(end, xid);
    store<u32>(end, database, 4);
    store<u32>(end, length, 8);
    store<u32>(end, load<u32>(shape, 20), 12);
    store<f64>(end, lsn, 16);
    store<f64>(end, firstLsn, 24);
    store<f64>(end, time, 32);
    store<u32>(shape, end, 20);
  }
  store<u32>(shape, count + 1, 8);
  if (count == 0 || ((xid - load<u32>(shape, 24)) as i32) < 0) store<u32>(shape, xid, 24);
  if (count == 0 || ((load<u32>(shape, 28) - xid) as i32) < 0) store<u32>(shape, xid, 28);
  if (count == 0) {
    store<f64>(shape, lsn, 32);
    store<f64>(shape, time, 40);
  }
  store<f64>(shape, lsn, 48);
  store<f64>(shape, time, 56);
  return true;
}

/** Forgets what ended in a segment. */
export function clearEnds(): void {
  memory.fill(SHAPE_HASH, 0, (SHAPE_MASK + 1) << 2);
  memory.fill(ENDED, 0, 32);
  shapes = 0;
  ends = 0;
  words = 0;
}
