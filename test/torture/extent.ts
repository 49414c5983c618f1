import { allMajors, type Major, postgresMajors } from '@keyframe/testkit/postgres';

interface Extent {
  readonly majors: readonly Major[];
  /** Recoveries on each major. */
  readonly targets: number;
  /** Processes killed on each major. */
  readonly kills: number;
  /** Of the big relation. From 1 GiB on it has several files. */
  readonly sizeMiB: number;
  /** Random histories of backups and expiries, in memory. */
  readonly histories: number;
  /** Of a receiver, in each mode; each ends with the loss of the host. */
  readonly rounds: number;
  /** Of a history that `keyframe log` must tell exactly. */
  readonly transactions: number;
}

/** The bounded form has both grammars of BASE_BACKUP (14, and 15 and later) and the newest major. */
const BOUNDED: Extent = {
  majors: postgresMajors([14, 16, 18]),
  targets: 12,
  kills: 8,
  sizeMiB: 1104,
  histories: 300,
  rounds: 2,
  transactions: 60,
};
const FULL: Extent = {
  majors: postgresMajors(allMajors),
  targets: 50,
  kills: 30,
  sizeMiB: 4096,
  histories: 10_000,
  rounds: 200,
  transactions: 2000,
};

/** How much is done; everything with `KEYFRAME_TORTURE=full`. */
export const EXTENT: Extent = process.env['KEYFRAME_TORTURE'] === 'full' ? FULL : BOUNDED;
