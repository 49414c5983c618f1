// Rows that heap records write. See the opcodes and structures of heapam_xlog.h.
import { NONE, RELATION_BYTES, RELATIONS } from './layout';
import { findEffect } from './transactions';

/** Counts the rows of a record for its transaction and for the segment. False when it cannot be read. */
export function takeRows(
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
