// Where what lies in the memory. Nothing is allocated: every table has its room.

/** Tables of the CRC: sixteen of 256 words. */
export const TABLES: u32 = 0;
/** Records by resource manager and the upper half of their info. */
export const COUNTS: u32 = 0x8000;
/** What finish() found beside the effects: how many, the top-level xid, LSN of the first. */
export const FOUND: u32 = 0x7ff0;
/** Blocks that were met lately, as in BLOCKS: most records touch one of them again. */
export const LATE_BLOCKS: u32 = 0xc000;
export const LATE_MASK: u32 = 0xff;
/** What ended in this segment: commits, aborts, lowest and highest xid; then the earliest and the latest time (f64). */
export const ENDED: u32 = 0xd000;
export const PIECE: u32 = 0x10000;
export const PIECE_BYTES: u32 = 0x100000;
export const SCRATCH: u32 = PIECE + PIECE_BYTES;
export const SCRATCH_BYTES: u32 = 0x400000;

// Relations: tablespace, database, relfilenode, flags; then what was done to its rows in this segment, and the block before.
export const RELATIONS: u32 = SCRATCH + SCRATCH_BYTES;
export const RELATION_BYTES: u32 = 36;
export const RELATION_CAPACITY: u32 = 1 << 17;
/** Flags of a relation: records that name it are events; it is no table that people made. */
export const RELATION_TELLS: u32 = 1;
export const RELATION_SPECIAL: u32 = 2;
export const RELATION_HASH: u32 = RELATIONS + RELATION_BYTES * RELATION_CAPACITY;
export const RELATION_MASK: u32 = RELATION_CAPACITY * 2 - 1;

// Transactions by xid, open addressing: xid, first effect, LSN of the first (8 bytes), top-level xid, number of effects.
export const XIDS: u32 = RELATION_HASH + RELATION_CAPACITY * 8;
export const XID_BYTES: u32 = 24;
export const XID_CAPACITY: u32 = 1 << 19;
export const XID_MASK: u32 = XID_CAPACITY - 1;

// Effects of a transaction on a relation: relation, inserted, updated, deleted, pages, the block before, next effect.
export const EFFECTS: u32 = XIDS + XID_BYTES * XID_CAPACITY;
export const EFFECT_BYTES: u32 = 28;
export const EFFECT_CAPACITY: u32 = 1 << 19;

// Changed blocks: a set of relation * 4 + fork (u32) and block (u32), the first plus one so that zero is none.
export const BLOCKS: u32 = EFFECTS + EFFECT_BYTES * EFFECT_CAPACITY;
export const BLOCK_CAPACITY: u32 = 1 << 17;
export const BLOCK_MASK: u32 = BLOCK_CAPACITY - 1;

// What several transactions of a segment did alike: hash, outcome and partial, how many, effects, where these are, the ends
// that are kept, lowest and highest xid; then LSN and time of the first and of the last end (f64).
export const SHAPES: u32 = BLOCKS + BLOCK_CAPACITY * 8;
export const SHAPE_BYTES: u32 = 64;
export const SHAPE_CAPACITY: u32 = 1 << 14;
export const SHAPE_HASH: u32 = SHAPES + SHAPE_BYTES * SHAPE_CAPACITY;
export const SHAPE_MASK: u32 = SHAPE_CAPACITY * 2 - 1;
/** Words of effects that make shapes: relation, inserted, updated, deleted, pages. */
export const WORDS: u32 = SHAPE_HASH + SHAPE_CAPACITY * 8;
export const SHAPE_WORDS: u32 = 5;
export const WORD_CAPACITY: u32 = 1 << 18;

// Ends of transactions that are not many yet: xid, database, length of the record, the next of its shape; LSN, that of its
// first record, time (f64).
export const ENDS: u32 = WORDS + WORD_CAPACITY * 4;
export const END_BYTES: u32 = 40;
export const END_CAPACITY: u32 = 1 << 16;
export const MEMORY_BYTES: u32 = ENDS + END_BYTES * END_CAPACITY;

export const NONE: u32 = 0xffffffff;
