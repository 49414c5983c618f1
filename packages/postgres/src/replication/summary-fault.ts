/**
 * From these on a summary that only touches a promotion is not taken for part of the promoted server's history; before,
 * an increment across the promotion could leave out changed blocks.
 * @see commits ec756e5913b8 (17) and 5787f8785cb7 (18) of PostgreSQL
 */
const MENDED: readonly number[] = [170_012, 180_007];

/**
 * Where PostgreSQL's own incremental base backups are known to go wrong after a promotion at a recovery target: the version
 * of the same major that mends it; else `undefined`. A full base backup after each promotion is right with every version.
 */
export function summaryFaultMendedIn(versionNumber: number): number | undefined {
  const major = Math.floor(versionNumber / 10_000);
  return MENDED.find((mended) => Math.floor(mended / 10_000) === major && versionNumber < mended);
}
