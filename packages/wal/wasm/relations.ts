// Relations by number, in the order in which they were met.
import { newRelation } from './host';
import { NONE, RELATION_BYTES, RELATION_CAPACITY, RELATION_HASH, RELATION_MASK, RELATIONS } from './layout';

/** How many are known. */
export let relations: u32 = 0;
let lastRelation: u32 = NONE;

/** The number of a relation, which it is given when it is met for the first time. */
export function findRelation(tablespace: u32, database: u32, node: u32): u32 {
  if (lastRelation != NONE && isRelation(lastRelation, tablespace, database, node)) return lastRelation;
  let slot = ((node * 0x9e3779b1) ^ (database * 0x85ebca6b) ^ tablespace) & RELATION_MASK;
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

/** Forgets what was done to relations in a segment. */
export function clearRows(): void {
  for (let index: u32 = 0; index < relations; index++) {
    const entry = RELATIONS + index * RELATION_BYTES;
    store<u64>(entry, 0, 16);
    store<u64>(entry, 0, 24);
    store<u32>(entry, NONE, 32);
  }
}
