// What TypeScript lends: see src/lens/walker.ts.

/** Hands a record over; false ends the walk before it. */
export declare function event(record: u32, total: u32): bool;
/** Shows a record; false when it cannot be read, which ends the walk before it. */
export declare function show(record: u32, total: u32): bool;
/** A relation was met for the first time. Returns its flags. */
export declare function newRelation(index: u32): u32;
/** The set of changed blocks is full and must be emptied. */
export declare function blocksAreFull(): void;
/** Whether something is known of the transaction beside the rows it wrote. Asked only while `watching` is set. */
export declare function isWatched(xid: u32): bool;
