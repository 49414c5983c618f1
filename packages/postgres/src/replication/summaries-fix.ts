/**
 * From these on a summary that only touches a promotion is not taken for part of the promoted server's history; before,
 * an increment across the promotion could leave out changed blocks.
 * @see commits ec756e5913b8 (17) and 5787f8785cb7 (18) of PostgreSQL
 */
const FIXED: ReadonlyMap<number, number> = new Map([
  [17, 170_012],
  [18, 180_007],
]);

/**
 * True where PostgreSQL's own incremental base backups are known to go wrong after a promotion at a recovery target: say
 * so, and say that a minor update mends it. A full base backup after each promotion is right with every version.
 */
export function hasSummaryFault(versionNumber: number): boolean {
  const fixed = FIXED.get(Math.floor(versionNumber / 10_000));
  return fixed !== undefined && versionNumber < fixed;
}
