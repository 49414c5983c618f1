// The set of blocks that changed.
import { blocksAreFull } from './host';
import { BLOCK_CAPACITY, BLOCK_MASK, BLOCKS, LATE_BLOCKS, LATE_MASK } from './layout';

/** Blocks in the set. */
let blocks: u32 = 0;

/** Notes a block; `owner` is its relation * 4 + fork. */
export function addBlock(owner: u32, block: u32): void {
  const key = (((owner + 1) as u64) << 32) | (block as u64);
  const mixed = (block ^ (owner * 0x85ebca6b)) * 0x9e3779b1;
  const late = LATE_BLOCKS + (((mixed >> 24) & LATE_MASK) << 3);
  if (load<u64>(late) == key) return;
  store<u64>(late, key);
  let slot = mixed >> 15;
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

/** Empties the set. */
export function clearBlocks(): void {
  memory.fill(BLOCKS, 0, BLOCK_CAPACITY * 8);
  memory.fill(LATE_BLOCKS, 0, (LATE_MASK + 1) * 8);
  blocks = 0;
}
